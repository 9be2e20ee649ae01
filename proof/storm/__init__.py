"""A storm over one store: processes that write, are stopped, killed and replaced, and a verdict.

linearize.py  the search: could these operations have happened one after the other?
model.py      what a store promises, as a function from a state and a call to the next state
record.py     what was called, and what came out: the logs
perform.py    one call on a real store
workers.py    a process of the storm: draws calls and makes them
foreman.py    starts, stops and kills workers
finale.py     what is looked at when all is over
judge.py      the verdict
campaign.py   all of it together
sabotage.py   the store, broken on purpose
selftest.py   every sabotage must be caught
"""
