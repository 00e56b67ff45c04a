"""The answer for people and for programs: in the terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from evaluation.intervals import Interval
from evaluation.json_text import json_text
from evaluation.off_policy.analysis import Analysis, Answer
from evaluation.off_policy.overlap import Overlap


def terminal(analysis: Analysis) -> RenderableType:
    """Return the report for ``rich.print``."""
    of = "decision" if analysis.answers[0].assumption is None else "ranking"
    percent = f"{100 * analysis.confidence:g} %"
    parts: list[RenderableType] = [
        Text(f"The logging policy earned {_figure(analysis.logged)} a {of} ({percent} interval).")
    ]
    for answer in analysis.answers:
        title = f"Rankings, {answer.assumption}" if answer.assumption else "The target policy"
        parts += [Text(), Text(f"{title}: {_overlap(answer.overlap)}")]
        parts += [Text(f"REFUSED: {reason}", style="bold red") for reason in answer.refusals]
        parts += [Text(f"! {warning}", style="yellow") for warning in answer.warnings]
        if answer.estimates:
            parts.append(_table(answer, percent, of))
    return Group(*parts)


def as_json(analysis: Analysis) -> str:
    """Return the report as JSON; what is not finite is null, shares are fractions."""
    return json_text(asdict(analysis))


def _table(answer: Answer, percent: str, of: str) -> Table:
    table = Table("estimator")
    for heading in (f"a {of}", f"{percent} interval", "against the log", f"{percent} interval"):
        table.add_column(heading, justify="right")
    for one in answer.estimates:
        table.add_row(
            escape(one.estimator),
            f"{one.value.mean:.5g}",
            f"{one.value.low:.5g} to {one.value.high:.5g}",
            f"{one.difference.mean:+.5g}",
            f"{one.difference.low:+.5g} to {one.difference.high:+.5g}",
        )
    if any(one.estimator == "direct method" for one in answer.estimates):
        table.caption = "The interval of the direct method knows nothing of its model's error."
        table.caption_justify = "left"
    return table


def _overlap(overlap: Overlap) -> str:
    never = "" if overlap.unsupported_share is None else f", {overlap.unsupported_share:.1%} on arms never logged"
    return (
        f"{overlap.rows:,} rows worth {overlap.effective_sample_size:,.0f} of its own; "
        f"{overlap.effective_rewards:,.0f} rewards carry the estimates; weights average "
        f"{_figure(overlap.mean_weight)}, at most {overlap.max_weight:.4g} ({overlap.largest_share:.1%} of all){never}."
    )


def _figure(interval: Interval) -> str:
    return f"{interval.mean:.4g} ({interval.low:.4g} to {interval.high:.4g})"
