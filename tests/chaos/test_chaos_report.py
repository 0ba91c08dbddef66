"""The page of a run, drawn from histories of any shape; a warning of the plotting library is a failure here."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the report's libraries come with `make chaos`")

from chaos.history import FAILED, OK, UNKNOWN, Operation
from chaos.nemesis.fault import Window
from chaos.report.page import write_index, write_page
from chaos.report.plots import label_rows, story
from chaos.run import Verdict

VERDICT = Verdict("leader-kill", "The leader is killed.", "ternmq", "direct", 1)


def load(seconds: float, pace_s: float = 0.05, away: tuple[float, float] = (0.0, 0.0)) -> list[Operation]:
    """A client with an answer after a millisecond, but for a time in which nobody answers."""
    times = [at * pace_s for at in range(int(seconds / pace_s))]
    return [
        Operation("p0", "publish", f"p0-{number}", at, at + 0.001, UNKNOWN if away[0] <= at < away[1] else OK, number)
        for number, at in enumerate(times, 1)
    ]


def drawn(operations: list[Operation], windows: list[Window]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return story(operations, windows)


def test_an_outage_stands_in_the_picture_with_its_length_and_its_fault() -> None:
    picture = drawn(load(20, away=(5.0, 8.0)), [Window("SIGKILL", "n2", 5.0, 9.0)])
    assert "SIGKILL: n2" in picture
    assert "3.05 s" in picture
    assert "failed or unknown" in picture


def test_a_run_without_outages_says_so() -> None:
    assert "no client went without a success for 150 ms" in drawn(load(20), [])


@pytest.mark.parametrize("operations", [
    [],
    [Operation("p0", "publish", "p0-1", 0.0)],
    [Operation("p0", "publish", "p0-1", 0.0, 1.0, FAILED)],
])  # fmt: skip
def test_a_run_in_which_nothing_succeeded_is_a_sentence(operations: list[Operation]) -> None:
    assert "nothing to draw" in drawn(operations, [Window("SIGKILL", "n2", 5.0)])


def test_runs_of_a_single_kind_of_operation_are_drawn() -> None:
    reads = [Operation("r0", "read", "p0-1", at / 10, at / 10 + 0.01, OK, 1) for at in range(100)]
    assert "all reads" in drawn(reads, [])
    assert "<svg" in drawn([Operation("p0", "publish", "p0-1", 0.0, 0.5, OK, 1)], [])


def test_names_of_faults_do_not_overlap_and_give_way_to_numbers() -> None:
    few = [Window("SIGKILL", "n1", at, at + 1) for at in (1.0, 2.0, 3.0)]
    assert label_rows(few, ["SIGKILL: n1"] * 3, 0.0, 30.0) == [0, 1, 2]
    many = [Window("leader isolated", "n1", at, at + 0.5) for at in range(30)]
    assert label_rows(many, ["leader isolated: n1"] * 30, 0.0, 30.0) is None
    assert "isolated" not in drawn(load(30), many)


def test_the_page_names_what_was_broken_and_the_index_leads_to_it(tmp_path: Path) -> None:
    verdict = Verdict("bit-flip", "Bits flip.", "nats-server", "direct", 1)
    verdict.complaints = {"acknowledged and lost": ["p0-7 <at> 7"], "stored twice": []}
    (tmp_path / "run").mkdir()
    write_page(tmp_path / "run" / "report.html", verdict, load(10), "P")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 broken promises" in page and "p0-7 &lt;at&gt; 7" in page
    write_index(tmp_path / "index.html", [(verdict, tmp_path / "run"), (VERDICT, tmp_path / "run")])
    index = (tmp_path / "index.html").read_text()
    assert "2 runs, 1 hold" in index and 'href="run/report.html"' in index
