"""`check` finds every damage: what it is, in which file, at which line."""

import pytest
from damages import DAMAGES, META, Damage, build

from plainstate import CheckReport, check_store


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store"
    build(path)
    return path


@pytest.fixture
def base(sound, tmp_path):
    import shutil

    path = tmp_path / "store"
    shutil.copytree(sound, path)
    path.chmod(0o700)
    return path


def told(report: CheckReport, base) -> list[tuple[str, str, int]]:
    """What was found; names that differ from run to run have stand-ins."""
    names = {
        str(one.relative_to(base)).removesuffix(".json"): "TRASH"
        for one in (base / META / "trash").glob("*.json")
    }
    names |= {
        str(one.relative_to(base)): "TRASH"
        for one in (base / META / "trash").iterdir()
        if one.is_dir()
    }
    names |= {
        str(one.relative_to(base)): "INDEX"
        for one in sorted((base / META).glob("index-*.sqlite"))[-1:]
    }
    found = []
    for one in report.findings:
        path = one.path
        for name, short in names.items():
            path = path.replace(name, short)
        found.append((one.code, path, one.line))
    return sorted(found)


def test_a_sound_store_is_clean(base):
    assert check_store(base).findings == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.name)
def test_each_damage_is_found(damage: Damage, base):
    damage.harm(base)
    report = check_store(base)
    assert told(report, base) == sorted(damage.found), report.findings
    assert all(one.message and one.remedy for one in report.findings)
    assert all(str(one.path) in one.message or one.severity == "note" for one in report.findings)
