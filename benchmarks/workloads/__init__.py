"""What is measured, one module each."""

from __future__ import annotations

WORKLOADS = {
    "append": "appends at different lengths, a session's first, async, system calls",
    "concurrent": "64 tasks at once in one asyncio process",
    "processes": "4 processes with 16 sessions each, own and shared",
    "load": "loading a session, folded and not, after somebody else's append",
    "listing": "the newest of 1,000 to 100,000 sessions, catching up with others",
    "search": "a rare and a common word in 1,000 to 100,000 sessions",
}
"""Module → what it measures."""
