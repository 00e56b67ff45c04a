"""The pictures of an A/B test, as SVG text."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from evaluation.ab_test.results import Lift, Look

ALWAYS, ONCE = "#9db8d9", "#1f4e8c"


def intervals(lifts: Sequence[Lift], confidence: float) -> str:
    """Return the relative lifts with both their intervals, one line each; those without bounds are left out."""
    bounded = [lift for lift in lifts if math.isfinite(lift.relative.always_low)]
    figure = Figure(figsize=(9, 1.2 + 0.4 * len(bounded)), layout="constrained")
    axes = figure.add_subplot()
    for y, lift in enumerate(bounded):
        relative = lift.relative
        axes.plot([relative.always_low, relative.always_high], [y, y], color=ALWAYS, linewidth=7, solid_capstyle="butt")
        axes.plot([relative.low, relative.high], [y, y], color=ONCE, linewidth=2.5)
        axes.plot(relative.value, y, "o", color=ONCE)
    names = [" · ".join(filter(None, (lift.segment_value, lift.metric, lift.variant))) for lift in bounded]
    axes.set_yticks(range(len(bounded)), [_plain(name) for name in names])
    axes.set_ylim(len(bounded) - 0.4, -0.6)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(f"relative lift; light: {100 * confidence:g}% at any time, dark: read once")
    return _svg(figure, axes, "Relative lifts with their intervals")


def over_time(looks: Sequence[Look], confidence: float) -> str:
    """Return how the difference and both its intervals of one metric and variant narrowed, day by day."""
    days = np.array([look.day for look in looks], dtype="datetime64[D]")
    differences = [look.lift.difference for look in looks]
    lift = looks[-1].lift
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot()
    always = [d.always_low for d in differences], [d.always_high for d in differences]
    once = [d.low for d in differences], [d.high for d in differences]
    axes.fill_between(days, *always, color=ALWAYS, alpha=0.6, linewidth=0, label=f"{100 * confidence:g}% at any time")
    axes.fill_between(days, *once, color=ONCE, alpha=0.45, linewidth=0, label=f"{100 * confidence:g}% read once")
    axes.plot(days, [d.value for d in differences], color=ONCE)
    axes.axhline(0, color="black", linewidth=0.8)
    # The first days are so uncertain that they would flatten all the others.
    settled = differences[len(differences) // 4 :]
    low, high = min(d.always_low for d in settled), max(d.always_high for d in settled)
    axes.set_ylim(min(low, 0) - 0.1 * (high - low), max(high, 0) + 0.1 * (high - low))
    if lift.kind == "rate":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    axes.set_title(_plain(f"{lift.metric}: {lift.variant} less control, units entered so far"), loc="left", fontsize=10)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    return _svg(figure, axes, f"{lift.metric}, {lift.variant}: the difference over time")


def _plain(text: str) -> str:
    """Return ``text`` so that a dollar sign in a name does not start mathematics."""
    return text.replace("$", r"\$")


def _svg(figure: Figure, axes: Axes, description: str) -> str:
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    # A fixed salt and no date: the same test gives the same file.
    with mpl.rc_context({"svg.hashsalt": description, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": description})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
