"""What is measured, one module each."""

from __future__ import annotations

WORKLOADS = {
    "append": "appends at different lengths, a session's first, async, system calls",
    "load": "loading a session, folded and not, after somebody else's append",
}
"""Module → what it measures."""
