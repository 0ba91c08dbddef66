"""The HTML page of a run, complete in one file, and the page that lists several runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader

from chaos.history import Operation
from chaos.report import plots

if TYPE_CHECKING:
    from chaos.run import Verdict

CASES_SHOWN = 40
TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=False)


def write_page(path: Path, verdict: Verdict, operations: list[Operation], workloads: str) -> None:
    """The page of one run."""
    text = TEMPLATES.get_template("page.html").render(
        verdict=verdict, workloads=workloads, shown=CASES_SHOWN, outage_shown_s=plots.OUTAGE_SHOWN_S,
        picture=plots.story(operations, verdict.windows),
    )  # fmt: skip
    path.write_text(text)


def write_index(path: Path, runs: list[tuple[Verdict, Path]]) -> None:
    """A table of the runs of one command, each with a link to its page."""
    rows = [(verdict, directory.relative_to(path.parent) / "report.html") for verdict, directory in runs]
    path.write_text(TEMPLATES.get_template("index.html").render(rows=rows))
