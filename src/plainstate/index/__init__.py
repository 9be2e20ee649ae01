"""The index: lists and search, answered from SQLite instead of from all files.

It is disposable: every fact in it comes from the engine and can be had from there again.
"""

from plainstate.index.index import Index, IndexStatistics

__all__ = ["Index", "IndexStatistics"]
