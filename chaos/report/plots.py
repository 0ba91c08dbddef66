"""Plots of a run as SVG text: throughput, latency and outages over time, with the fault windows shaded.

Only drawing: every number comes from the history or from `checkers.outage`. Colours: blue writes, green reads, red what
failed; grey bands are faults.
"""

from __future__ import annotations

import io
import statistics
from collections import defaultdict

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chaos.checkers.outage import Span, gaps
from chaos.history import FAILED, NEVER, OK, UNKNOWN, Operation
from chaos.nemesis.fault import NOT_OVER, Window

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "chaos", "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False,
})  # fmt: skip

BUCKET_S = 0.25
OUTAGE_SHOWN_S = 0.25
WRITE, READ, BAD, FAULT, LABEL = "#1f5fa8", "#2c8a57", "#c0392b", "#8a8f98", "#4a4f57"
WIDTH_IN = 10.5


def svg(figure: Figure) -> str:
    """The figure as an <svg> element without the XML prologue."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def axes(height_in: float, end_s: float, windows: list[Window], label: str) -> tuple[Figure, Axes]:
    """An empty plot over the time of the run, faults shaded."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    plot = figure.subplots()
    plot.set_xlim(0, max(end_s, 1))
    plot.set_xlabel("seconds since the run began")
    plot.set_ylabel(label)
    plot.grid(axis="y", color="#e4e6ea", linewidth=0.6)
    plot.set_axisbelow(True)
    for window in windows:
        over_s = window.end_s if window.end_s != NOT_OVER else end_s
        plot.axvspan(window.start_s, over_s, color=FAULT, alpha=0.22, linewidth=0)
    return figure, plot


def name_windows(plot: Axes, windows: list[Window]) -> None:
    """Write what each grey band is above it; neighbours on different heights."""
    for at, window in enumerate(windows):
        plot.annotate(
            f"{window.title}: {window.target}", (window.start_s, 1.02 + 0.09 * (at % 2)),
            xycoords=("data", "axes fraction"), color=LABEL, fontsize=8, annotation_clip=False,
        )  # fmt: skip


def buckets(operations: list[Operation], end_s: float) -> tuple[list[float], list[float]]:
    """(start of each bucket, successes a second in it)."""
    counts = [0] * (int(end_s / BUCKET_S) + 1)
    for each in operations:
        if each.outcome == OK:
            counts[min(int(each.end_s / BUCKET_S), len(counts) - 1)] += 1
    return [at * BUCKET_S for at in range(len(counts))], [count / BUCKET_S for count in counts]


def throughput(writes: list[Operation], reads: list[Operation], windows: list[Window], end_s: float) -> str:
    """Successes a second."""
    figure, plot = axes(2.5, end_s, windows, "successes a second")
    for operations, colour, label in ((writes, WRITE, "writes"), (reads, READ, "reads")):
        if operations:
            times, rates = buckets(operations, end_s)
            plot.step(times, rates, where="post", color=colour, linewidth=1.2, label=label)
    plot.set_ylim(bottom=0)
    name_windows(plot, windows)
    plot.legend(loc="lower left", frameon=False, ncols=2)
    return svg(figure)


def latency(writes: list[Operation], windows: list[Window], end_s: float) -> str:
    """Of acknowledged writes by the time they were sent: median and slowest a bucket; what failed, below."""
    figure, plot = axes(2.5, end_s, windows, "write latency, ms")
    taken: dict[int, list[float]] = defaultdict(list)
    for each in writes:
        if each.outcome == OK:
            taken[int(each.start_s / BUCKET_S)].append(1000 * (each.end_s - each.start_s))
    times = [at * BUCKET_S for at in sorted(taken)]
    plot.set_yscale("log")
    plot.plot(
        times, [max(taken[at]) for at in sorted(taken)], ".", color=WRITE, markersize=3, alpha=0.55, label="slowest"
    )
    medians = [statistics.median(taken[at]) for at in sorted(taken)]
    plot.plot(times, medians, color=WRITE, linewidth=1.2, label="median")
    lost = [each.start_s for each in writes if each.outcome in (FAILED, UNKNOWN)]
    if lost:
        plot.plot(lost, [1.0] * len(lost), "|", color=BAD, markersize=8, transform=plot.get_xaxis_transform(),
                  clip_on=False, label="failed or unknown")  # fmt: skip
    plot.legend(loc="upper right", frameon=False, ncols=3)
    return svg(figure)


def outages(operations: list[Operation], windows: list[Window], end_s: float) -> str:
    """A row a client: red where it had no success for OUTAGE_SHOWN_S or longer; the service's own row on top."""
    rows: dict[str, list[Span]] = {}
    writes = [each for each in operations if each.kind != "read"]
    reads = [each for each in operations if each.kind == "read"]
    for name, mine in (("all writes", writes), ("all reads", reads)):
        if mine:
            rows[name] = gaps(mine, tuple({each.kind for each in mine}))
    for worker in sorted({each.worker for each in writes}):
        mine = [each for each in writes if each.worker == worker]
        if len(mine) > 1 and any(each.end_s != NEVER for each in mine):
            rows[worker] = gaps(mine, tuple({each.kind for each in mine}))
    figure, plot = axes(0.9 + 0.22 * len(rows), end_s, windows, "")
    plot.grid(visible=False)
    for at, (name, spans) in enumerate(rows.items()):
        colour = BAD if name.startswith("all") else "#e08e79"
        shown = [span for span in spans if span.seconds >= OUTAGE_SHOWN_S]
        plot.broken_barh([(span.start_s, span.seconds) for span in shown], (at - 0.35, 0.7), color=colour)
        for span in shown[:6]:
            if span.seconds >= end_s / 40:
                plot.annotate(f"{span.seconds:.1f} s", (span.start_s + span.seconds / 2, at), ha="center", va="center",
                              fontsize=7, color="white")  # fmt: skip
    plot.set_yticks(range(len(rows)), list(rows))
    plot.set_ylim(len(rows) - 0.5, -0.5)
    return svg(figure)
