"""What is measured, one module each."""

from __future__ import annotations

WORKLOADS = {
    "append": "appends at different lengths, a session's first, async, system calls",
    "concurrent": "64 tasks at once in one asyncio process",
    "processes": "4 processes with 16 sessions each, own and shared",
    "load": "loading a session, folded and not, after somebody else's append",
    "listing": "the newest of 1,000 to 100,000 sessions, catching up with others",
    "space": "bytes on disk, peak memory",
    "creating": "1,000 new sessions",
    "documents": "whole JSON documents of 1 KB and 100 KB",
    "importing": "real conversations from PLAINSTATE_TEST_DATA",
    "starting": "the import, and opening a store of 100,000 sessions",
    "wakeup": "one process told of another's write",
    "search": "a rare and a common word in 1,000 to 100,000 sessions",
}
"""Module → what it measures."""
