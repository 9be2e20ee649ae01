"""The command line: `plainstate VERB …`.

It uses the public API alone, and is the only part that reads the environment and the terminal.
`verbs.py` has the parser, `app.py` the dispatch, the other modules one group of verbs each;
`docs/cli.md` is its manual page and states what programs may rely on.
"""
