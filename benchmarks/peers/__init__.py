"""Stores of conversations, each behind the same few calls, so that they can be measured alike.

base.py        the calls, and the table of all peers
plainstate.py  this library
limit.py       the bare system calls
sqlite.py      tables by hand
ancestor.py    rewriting the whole file, as the store does that plainstate descends from
openai.py, strands.py, adk.py, langgraph.py, agno.py   libraries for agents
children.py    what processes of their own do with a peer
counting.py    the system calls of an append

`python -m benchmarks.peers` counts what an append of each asks of the system;
`python -m benchmarks.peers.outcomes` shows what becomes of messages when something goes wrong.
"""
