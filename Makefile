# The one list of commands.  Everything they make stays inside this folder: .venv and .cache.

PY := .venv/bin/python

# pip, pytest and the tests themselves put their temporary files here.
export TMPDIR := $(CURDIR)/.cache/tmp

.DEFAULT_GOAL := help
.PHONY: help demo test lint types format clean FORCE

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

# The shell reads DATA from its environment, so that any path arrives as it is.
demo: .venv/ready ## see it work, in .cache/demo; DATA=file.json: on your conversations
	@rm -rf .cache/demo
	@.venv/bin/plainstate demo --keep=.cache/demo $${DATA:+"--data=$$DATA"}

test: lint types ## everything CI checks: lint, types, layers, tests, doctests
	$(PY) -m pytest -n 2 --doctest-modules tests src

lint: .venv/ready ## style and formatting
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: .venv/ready ## static types
	$(PY) -m mypy

format: .venv/ready ## rewrite the code in the project's format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

clean: ## remove the environment and every cache
	rm -rf .venv .cache dist
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# Asked every time, because make cannot see that the checkout was moved or that `python3` is
# another one now; an environment that is ready costs a few milliseconds.
.venv/ready: FORCE
	@python3 tools/make_env.py
