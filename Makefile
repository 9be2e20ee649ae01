# The one list of commands.  Everything they make stays inside this folder: .venv and .cache.

PY := .venv/bin/python

# pip, pytest and the tests themselves put their temporary files here.
export TMPDIR := $(CURDIR)/.cache/tmp

.DEFAULT_GOAL := help
.PHONY: help demo test lint types format model powercut powercut-selftest follow storm storm-selftest fuzz fuzz-keep bench clean FORCE

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 26

# The shell reads DATA from its environment, so that any path arrives as it is.  The store of the
# last run is put back where this one is refused before it makes its own.
demo: .venv/ready ## see it work, in .cache/demo; DATA=file.json: on your conversations
	@rm -rf .cache/demo.old; [ ! -d .cache/demo ] || mv .cache/demo .cache/demo.old
	@.venv/bin/plainstate demo --keep=.cache/demo $${DATA:+"--data=$$DATA"}; code=$$?; \
	[ -d .cache/demo ] || [ ! -d .cache/demo.old ] || mv .cache/demo.old .cache/demo; \
	rm -rf .cache/demo.old; exit $$code

test: lint types ## everything CI checks: lint, types, layers, tests, doctests
	$(PY) -m pytest -n 2 -rs --doctest-modules tests src

lint: .venv/ready ## style and formatting
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: .venv/ready ## static types
	$(PY) -m mypy

format: .venv/ready ## rewrite the code in the project's format
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

# Sequences of calls, for each engine and face; those that fail are kept in .cache/hypothesis.
EXAMPLES := 2000
model: .venv/ready ## drive the whole store at random against a dictionary: EXAMPLES=
	MODEL_EXAMPLES=$(EXAMPLES) $(PY) -m pytest -n 2 -p no:randomly tests/model/test_model.py

# How often, where, how many disk writes and flushes of each run fail, and whether the disk is full
# for the first half of each (FULL=1); see proof/README.md.
CUTS := 300
FS := ext4,ext4-noalloc,xfs,btrfs
EIO := 0
FLUSH_ERRORS := 0
FULL :=
powercut: .venv/ready ## cut the power below real file systems: CUTS= FS= EIO= …; needs root
	$(PY) -m proof.powercut --cuts=$(CUTS) --fs=$(FS) --eio=$(EIO) \
		--flush-errors=$(FLUSH_ERRORS) $(if $(FULL),--full) --keep=.cache/powercut

powercut-selftest: .venv/ready ## show that powercut finds a store that was broken on purpose
	$(PY) -m proof.powercut --selftest --cuts=50 --fs=ext4-noalloc,ext4,btrfs,xfs

# How long, how many processes, and how many of them are killed; see proof/README.md.  Of `storm`
# 200 are killed if nothing else is said.
SECONDS := 60
WRITERS := 8
FOLLOWERS := 2
KILLS := 0
follow: .venv/ready ## writers and followers of one store: SECONDS= WRITERS= FOLLOWERS= KILLS=
	$(PY) -m proof.follow --seconds=$(SECONDS) --writers=$(WRITERS) --followers=$(FOLLOWERS) --kills=$(KILLS)

storm: KILLS := 200
storm: .venv/ready ## many processes at one store, random ones killed: SECONDS= WRITERS= KILLS=
	$(PY) -m proof.storm --seconds=$(SECONDS) --writers=$(WRITERS) --kills=$(KILLS) --keep=.cache/storm

storm-selftest: .venv/ready ## show that a storm finds a store that was broken on purpose
	$(PY) -m proof.storm --selftest

# Which targets, with commas; all of them share the SECONDS.  See proof/README.md.
TARGETS :=
fuzz: .venv/ready ## rubbish for everything that reads bytes or text: SECONDS= TARGETS=
	@python3 tools/make_env.py fuzz
	$(PY) -m proof.fuzz --seconds=$(SECONDS) --targets=$(TARGETS)

fuzz-keep: .venv/ready ## put the smallest inputs of all runs into the repository: TARGETS=
	$(PY) -m proof.fuzz --keep --targets=$(TARGETS)

# Which workloads, with commas; QUICK=1 leaves the libraries and most rounds out; see
# docs/performance.md.
ONLY :=
QUICK :=
OUT := .cache/bench/last.json
bench: .venv/ready ## measure plainstate beside others: ONLY= QUICK=1 OUT=file.json
	@$(if $(QUICK),,python3 tools/make_env.py bench)
	$(PY) -m benchmarks run --only=$(ONLY) $(if $(QUICK),--quick) --out=$(OUT)
	$(PY) -m benchmarks show $(OUT)

clean: ## remove the environment and every cache
	rm -rf .venv .cache dist
	find src tests tools proof benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Asked every time, because make cannot see that the checkout was moved or that `python3` is
# another one now; an environment that is ready costs a few milliseconds.
.venv/ready: FORCE
	@python3 tools/make_env.py
