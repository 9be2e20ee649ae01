"""The benchmark runs, at sizes that take no time; nothing that is timed is asserted."""

import importlib
import shutil

import msgspec
import pytest
from benchmarks import bars, comparing, report, results
from benchmarks.bench import CORE, Bench, Plan
from benchmarks.workloads import WORKLOADS

# Some hundred processes are started one after another.
pytestmark = pytest.mark.timeout(400)

WITH_STRACE = {"append", "load"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The results of a small run."""
    folder = tmp_path_factory.mktemp("bench")
    run = results.Results(results.machine(folder), {"plainstate": "0"})
    for workload in WORKLOADS:
        if workload in WITH_STRACE and not shutil.which("strace"):
            continue
        scratch = folder / workload
        scratch.mkdir()
        with Bench(Plan(str(scratch), str(folder / "cache"), quick=True, small=True)) as bench:
            importlib.import_module(f"benchmarks.workloads.{workload}").run(bench)
        run.parts[workload] = bench.part
    return run


def test_every_workload_has_figures_of_the_stores_it_compares(found):
    for workload, part in found.parts.items():
        assert part.timings or part.counts or part.notes, workload
        for title, timing in part.timings.items():
            assert not timing.left_out, title
            for row in timing.rows.values():
                assert 0 < row.p10 <= row.median
                assert row.p25 <= row.median <= row.p75
    assert set(found.parts["creating"].timings.popitem()[1].rows) == set(CORE)


def test_an_append_is_one_sync_and_nothing_is_lost(found):
    for title, counts in found.parts["processes"].counts.items():
        for row in counts.rows.values():
            assert row["acknowledged"] > 0, title
            assert row["lost"] == row["errors"] == 0, title
    if "append" in found.parts:
        counted = found.counted("system calls").rows["plainstate"]
        assert (counted["fdatasync"], counted["rename"]) == (1, 0)


def test_results_survive_the_file_and_do_not_differ_from_themselves(found, tmp_path):
    results.write(found, tmp_path / "out" / "a.json")
    again = results.read(tmp_path / "out" / "a.json")
    assert msgspec.to_builtins(again) == msgspec.to_builtins(found)
    assert not list(comparing.changes(found, again))
    slower = msgspec.json.decode(msgspec.json.encode(found), type=results.Results)
    ratio = slower.parts["documents"].timings["save 1 KB"].rows["plainstate"].to["limit"]
    ratio.p25, ratio.median, ratio.p75 = (3 * ratio.p75 + step for step in (1, 2, 3))
    (line,) = comparing.changes(found, slower)
    assert line.startswith("save 1 KB: plainstate")


def test_the_page_is_written_between_its_marks(found, tmp_path, monkeypatch):
    page = tmp_path / "performance.md"
    marks = "".join(f"<!-- begin: {n} -->\nSTALE\n<!-- end: {n} -->\n" for n in ("bars", "load"))
    page.write_text(f"# By hand\n\n{marks}By hand, too.\n", "utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    report.write(found)
    written = page.read_text("utf-8")
    assert written.startswith("# By hand\n")
    assert written.endswith("By hand, too.\n")
    assert "STALE" not in written
    assert "| 8 | save 1 KB, over the limit | ≤ 1.1 × |" in written
    report.write(found)
    assert page.read_text("utf-8") == written
    assert all(svg.read_text("utf-8").startswith("<svg") for svg in tmp_path.glob("plots/*.svg"))


def test_a_bar_has_what_its_figure_needs():
    for bar in bars.BARS:
        assert (bar.by == "count") == bool(bar.column), bar.what
        assert bar.by != "throughput" or bar.over, bar.what


def one_row(median: float, over: float) -> results.Results:
    row = results.Row(1.0, median, median, median, 9, {"limit": results.Ratio(1, over, 1, 1)})
    other = results.Row(1.0, 1.0, 1.0, 1.0, 9)
    timing = results.Timing("what", {"plainstate": row, "limit": other})
    return results.Results({}, {}, {"w": results.Part({"save 1 KB": timing})})


def test_a_bar_is_met_or_missed():
    (bar,) = (bar for bar in bars.BARS if bar.table == "save 1 KB")
    assert bar.is_met(bar.measured(one_row(1.0, 1.05)))
    assert not bar.is_met(bar.measured(one_row(1.0, 1.2)))
    faster = bar._replace(by="throughput", limit=0.6)
    assert faster.is_met(faster.measured(one_row(1.0, 1.5)))
    assert not faster.is_met(faster.measured(one_row(1.0, 2.0)))
    assert bar.measured(results.Results({}, {})) is None
