"""The tests of this folder share `cases.py`, `sound_store.py` and `machine.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
