"""Settings that every test shares."""

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).parent.parent / ".cache" / "hypothesis")

# The same examples on every run and machine: a red test is red for everybody.
settings.register_profile("same", derandomize=True, max_examples=100, deadline=None)
# New examples on every run, for a long search: pytest --hypothesis-profile=search
settings.register_profile("search", max_examples=5_000, deadline=None)
settings.load_profile("same")
