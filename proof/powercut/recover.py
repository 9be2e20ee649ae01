"""What a program does with its store after a power cut: opens it, writes to it, closes it.

python -m proof.powercut.recover BASE
"""

from __future__ import annotations

import sys

from proof.powercut.operations import open_store, write_probes


def _main() -> None:
    with open_store(sys.argv[1]) as store:
        write_probes(store)
        store.checkpoint()
        write_probes(store)


if __name__ == "__main__":
    _main()
