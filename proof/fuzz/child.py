"""One target under the fuzzer: `python -m proof.fuzz.child TARGET`, then libFuzzer's arguments."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from typing import Final

__all__ = ["main"]

_NOT_IMPORTED: Final = ("plainstate.__main__", "plainstate.testing")


def main() -> None:
    """Fuzzes until libFuzzer ends the process."""
    atheris = import_module("atheris")  # here only: nobody else needs it
    with atheris.instrument_imports(include=["plainstate"]):
        import plainstate

        for module in pkgutil.walk_packages(plainstate.__path__, "plainstate."):
            if not module.name.startswith(_NOT_IMPORTED):
                import_module(module.name)
    from proof.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
