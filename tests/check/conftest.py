"""The tests of this folder share `damages.py`."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without any damage: copy it."""
    from damages import build

    path = tmp_path_factory.mktemp("sound") / "store"
    build(path)
    return path


@pytest.fixture
def base(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    path = tmp_path / "store"
    shutil.copytree(sound, path)
    path.chmod(0o700)
    return path
