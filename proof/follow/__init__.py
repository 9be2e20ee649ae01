"""Processes that write and follow one store, and are killed: nobody may miss a commit.

workers.py    the writers and the followers
campaign.py   starts and kills them
judge.py      compares what was acknowledged with what was seen
"""
