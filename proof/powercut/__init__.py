"""A simulated power cut under a real file system, again and again.

writer.py      works on a store and says what was acknowledged
disk.py        the disk below it: its server and its lifetime
server.py      … serves one image through FUSE and logs every write and flush
log.py         … that log
images.py      what a disk could hold if the power failed at a point of the log
recover.py     the store's recovery, itself cut off in a share of the cuts
checker.py     opens what is left and judges it against the acknowledgements
derived.py     … and the lists, the feed and the histories against the documents
history.py     the operations, as data
model.py       the states that they allow
operations.py  the same operations, done to a store
campaign.py    all of that, many times
selftest.py    the same with a store broken on purpose (sabotage.py)

`proof/README.md` says what is shown, and what is not.
"""
