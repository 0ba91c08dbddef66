"""The story of a run as one picture (SVG text): throughput, latency and outages over the same time, faults shaded.

Only drawing: every number comes from the history or from `checkers.outage`. Colours: blue writes, green reads, red what
failed or was away; grey bands are faults, named above the picture where there is room, numbered where there are many.
"""

from __future__ import annotations

import io
import math
import statistics
from collections import defaultdict
from collections.abc import Callable

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from chaos.checkers.outage import Span, gaps
from chaos.history import NEVER, OK, READS, WRITES, Operation
from chaos.nemesis.fault import NOT_OVER, Window

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "chaos", "font.size": 9, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#9aa0a8", "axes.labelcolor": "#4a4f57",
    "xtick.color": "#4a4f57", "ytick.color": "#4a4f57", "legend.labelcolor": "#4a4f57",
})  # fmt: skip

BUCKET_S = 0.25
OUTAGE_SHOWN_S = 0.15
UNUSUAL = 5  # times the median gap of a client
WRITE, READ, BAD, WORKER, FAULT, LABEL = "#1f5fa8", "#2c8a57", "#c0392b", "#e39a8b", "#8a8f98", "#4a4f57"
WIDTH_IN = 10.5
LETTERS_ACROSS = 190  # of 7.5 points, over the width of the plot
LABEL_ROWS = 3
PRELOADER = "bulk"  # fills the stream before the run begins; no client of the story

Bucketed = dict[int, list[Operation]]


def story(operations: list[Operation], windows: list[Window]) -> str:
    """The whole picture; a sentence instead when nothing succeeded at all."""
    seen = [each for each in operations if each.worker != PRELOADER]
    if not any(each.outcome == OK for each in seen):
        return "<p>No operation succeeded, so there is nothing to draw.</p>"
    begin_s = min(each.start_s for each in seen)
    end_s = max(max(each.start_s, each.end_s) for each in seen)
    rows = outage_rows(seen)
    heights = [2.3, 1.9, 0.35 + 0.17 * len(rows)]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 1.4), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    throughput(top, seen, begin_s, end_s)
    latency(middle, seen)
    outages(bottom, rows, begin_s, end_s)
    for plot in (top, middle, bottom):
        for window in windows:
            over_s = window.end_s if window.end_s != NOT_OVER else end_s
            plot.axvspan(window.start_s, max(over_s, window.start_s + (end_s - begin_s) / 400), color=FAULT,
                         alpha=0.22, linewidth=0, zorder=0)  # fmt: skip
    bottom.set_xlim(begin_s, end_s)
    bottom.set_xlabel("seconds since the run began")
    name_windows(top, windows, begin_s, end_s)
    return svg(figure)


def svg(figure: Figure) -> str:
    """The figure as an <svg> element without the XML prologue."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def label_rows(windows: list[Window], names: list[str], begin_s: float, end_s: float) -> list[int] | None:
    """A row of text for each window's name so that none overlaps; None when there is not room for all."""
    taken_until = [0.0] * LABEL_ROWS
    rows = []
    for window, name in zip(windows, names, strict=True):
        at = LETTERS_ACROSS * (window.start_s - begin_s) / (end_s - begin_s)
        row = next((row for row, taken in enumerate(taken_until) if taken <= at), None)
        if row is None:
            return None
        taken_until[row] = at + len(name) + 2
        rows.append(row)
    return rows


def name_windows(plot: Axes, windows: list[Window], begin_s: float, end_s: float) -> None:
    """Write what each grey band is above it; only its number in the time line where there are too many."""
    names = [f"{window.title}: {window.target}" for window in windows]
    rows = label_rows(windows, names, begin_s, end_s)
    if rows is None:
        names = [str(number) for number in range(1, len(windows) + 1)]
        rows = label_rows(windows, names, begin_s, end_s) or [at % LABEL_ROWS for at in range(len(windows))]
    for window, name, row in zip(windows, names, rows, strict=True):
        plot.annotate(
            name, (window.start_s, 1.0), xytext=(0, 4 + 10 * row), textcoords="offset points",
            xycoords=("data", "axes fraction"), color=LABEL, fontsize=7.5, annotation_clip=False,
        )  # fmt: skip


def grid(plot: Axes, label: str) -> None:
    """What all panels have."""
    plot.set_ylabel(label)
    plot.grid(axis="y", color="#e4e6ea", linewidth=0.6)
    plot.set_axisbelow(True)


def rates(operations: list[Operation], begin_s: float, end_s: float) -> tuple[list[float], list[float]]:
    """(start of each whole bucket, successes a second in it)."""
    counts = [0] * int((end_s - begin_s) / BUCKET_S)
    for each in operations:
        at = int((each.end_s - begin_s) / BUCKET_S)
        if each.outcome == OK and at < len(counts):
            counts[at] += 1
    return [begin_s + at * BUCKET_S for at in range(len(counts))], [count / BUCKET_S for count in counts]


def throughput(plot: Axes, operations: list[Operation], begin_s: float, end_s: float) -> None:
    """Successes a second; reads, which are few, on an axis of their own."""
    grid(plot, "writes a second")
    times, values = rates([each for each in operations if each.kind in WRITES], begin_s, end_s)
    plot.fill_between(times, values, step="post", color=WRITE, alpha=0.12, linewidth=0)
    plot.step(times, values, where="post", color=WRITE, linewidth=1.1)
    plot.set_ylim(bottom=0, top=1.1 * max([1.0, *values]))
    plot.yaxis.label.set_color(WRITE)
    reads = [each for each in operations if each.kind in READS]
    if not reads:
        return
    other = plot.twinx()
    times, values = rates(reads, begin_s, end_s)
    other.step(times, values, where="post", color=READ, linewidth=0.9, alpha=0.85)
    other.set_ylim(bottom=0, top=2.2 * max([1.0, *values]))  # in the lower half, so that the two do not cross
    other.set_ylabel("reads a second", color=READ)


def latency(plot: Axes, operations: list[Operation]) -> None:
    """Of successful writes by the time they were sent: median and slowest a bucket; what had no success, on top."""
    grid(plot, "write latency")
    taken: dict[int, list[float]] = defaultdict(list)
    writes = [each for each in operations if each.kind in WRITES]
    for each in writes:
        if each.outcome == OK:
            taken[int(each.start_s / BUCKET_S)].append(max(1e-4, each.end_s - each.start_s))
    plot.set_yscale("log")
    plot.yaxis.set_major_formatter(FuncFormatter(as_time))
    plot.yaxis.set_minor_locator(NullLocator())
    if taken:
        filled = range(min(taken), max(taken) + 1)

        def line(of: Callable[[list[float]], float]) -> list[float]:  # not a number: the line has a gap there
            return [of(taken[at]) if at in taken else math.nan for at in filled]

        times = [at * BUCKET_S for at in filled]
        plot.plot(times, line(max), ".", color=WRITE, markersize=3, alpha=0.5, label="slowest")
        plot.plot(times, line(statistics.median), color=WRITE, linewidth=1.2, label="median")
    lost = [each.start_s for each in writes if each.outcome != OK]
    if lost:
        plot.plot(lost, [1.0] * len(lost), "|", color=BAD, markersize=7, transform=plot.get_xaxis_transform(),
                  clip_on=False, label="failed or unknown")  # fmt: skip
    if writes:
        plot.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, ncols=3, borderpad=0)


def as_time(seconds: float, _: object = None) -> str:
    """A tick of the latency axis."""
    return f"{seconds:g} s" if seconds >= 1 else f"{1000 * seconds:g} ms"


def outage_rows(operations: list[Operation]) -> dict[str, list[Span]]:
    """The service's own gaps, then those of every client, longest first."""
    rows: dict[str, list[Span]] = {}
    for name, kinds in (("all writes", WRITES), ("all reads", READS)):
        mine = [each for each in operations if each.kind in kinds]
        if mine:
            rows[name] = gaps(mine, kinds)
    writes = [each for each in operations if each.kind in WRITES]
    for worker in sorted({each.worker for each in writes}):
        mine = [each for each in writes if each.worker == worker]
        if len(mine) > 1 and any(each.end_s != NEVER for each in mine):
            rows[worker] = gaps(mine, WRITES)
    return rows


def outages(plot: Axes, rows: dict[str, list[Span]], begin_s: float, end_s: float) -> None:
    """A bar where a client had no success for OUTAGE_SHOWN_S or longer, and far longer than it usually has none."""
    length_s = end_s - begin_s
    shortest_s = length_s / 250  # so that it can be seen
    found = False
    for at, (name, spans) in enumerate(rows.items()):
        usual_s = statistics.median(span.seconds for span in spans) if spans else 0.0
        shown = [span for span in spans if span.seconds >= max(OUTAGE_SHOWN_S, UNUSUAL * usual_s)]
        found = found or bool(shown)
        bars = [(span.start_s, max(span.seconds, shortest_s)) for span in shown]
        plot.broken_barh(bars, (at - 0.36, 0.72), color=BAD if name.startswith("all") else WORKER)
        if not name.startswith("all"):
            continue
        named: list[float] = []
        for span in shown[:6]:
            inside = span.seconds >= length_s / 30
            room_s = length_s / (30 if inside else 15)
            followed = not inside and any(0 < other.start_s - span.start_s < room_s for other in shown)
            if followed or any(abs(span.start_s - other_s) < room_s for other_s in named):
                continue
            named.append(span.start_s)
            left = not inside and span.end_s > end_s - length_s / 15
            where = span.start_s + span.seconds / 2 if inside else span.start_s if left else span.end_s
            plot.annotate(f"{span.seconds:.2f} s", (where, at), xytext=(0 if inside else -3 if left else 5, 0),
                          textcoords="offset points", ha="center" if inside else "right" if left else "left",
                          va="center", fontsize=7, color="white" if inside else BAD)  # fmt: skip
    if not found:
        text = f"no client went without a success for {as_time(OUTAGE_SHOWN_S)} or longer"
        plot.annotate(text, (0.5, 0.5), ha="center", va="center", xycoords="axes fraction", color=LABEL)
    plot.set_yticks(range(len(rows)), list(rows))
    plot.tick_params(axis="y", length=0, labelsize=7.5)
    plot.set_ylim(len(rows) - 0.4, -0.6)
