"""The tests of this folder share `harness.py` and `scenarios.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
