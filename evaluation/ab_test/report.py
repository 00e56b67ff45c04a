"""The reading of an A/B test for people and programs: in the terminal, as one HTML file, as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape as escape_markup
from rich.table import Table
from rich.text import Text

from evaluation.ab_test import plots
from evaluation.ab_test.results import Analysis, Estimate, Lift
from evaluation.json_text import json_text


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the report.

    Attributes:
        title: What it shows.
        note: How to read it.
        columns: Headings.
        rows: Cells, as text; all rows as long as ``columns``.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def terminal(analysis: Analysis) -> RenderableType:
    """Return the report for ``rich.print``."""
    parts: list[RenderableType] = [Text(f"! {warning}", style="yellow") for warning in analysis.warnings]
    for section in sections(analysis):
        table = Table(
            title=escape_markup(section.title), title_justify="left", title_style="bold", caption_justify="left"
        )
        table.caption = escape_markup(section.note)
        for at, column in enumerate(section.columns):
            numeric = at > 0 and any(row[at][:1].isdigit() or row[at][:1] in "+-−" for row in section.rows)
            table.add_column(escape_markup(column), justify="right" if numeric else "left")
        for row in section.rows:
            table.add_row(*map(escape_markup, row))
        parts += [Text(), table]
    return Group(*parts)


def html(analysis: Analysis) -> str:
    """Return the report as one HTML page with its plots inside; it loads nothing from elsewhere."""
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in analysis.warnings)
    body = [f'<ul class="warnings">{warnings}</ul>' if warnings else ""]
    figures = {
        "Lift": [plots.intervals(analysis.lifts, analysis.design.confidence)] if analysis.lifts else [],
        "Segments": [plots.intervals(analysis.segments, analysis.design.confidence)] if analysis.segments else [],
        "Difference": [plots.over_time(looks, analysis.design.confidence) for looks in _looks_by_lift(analysis)],
    }
    for section in sections(analysis):
        head = "".join(f"<th>{escape(column)}</th>" for column in section.columns)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in section.rows)
        body.append(
            f"<h2>{escape(section.title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"<p>{escape(section.note)}</p>{''.join(figures.get(section.title, ()))}"
        )
    return PAGE.format(title=f"A/B test: {escape(', '.join(analysis.variants))}", body="\n".join(body))


def as_json(analysis: Analysis) -> str:
    """Return the report as JSON; a bound or value that is not finite is null, shares and lifts are fractions."""
    return json_text(record(analysis))


def record(analysis: Analysis) -> dict[str, Any]:
    """Return the report as lists of flat records, for a table or a file.

    Of every estimate there is ``NAME`` with ``NAME_low`` and ``NAME_high`` for a test that is read once, and
    ``NAME_always_low`` and ``NAME_always_high`` for one that is watched.
    """
    ratio, confidence = analysis.sample_ratio, analysis.design.confidence
    return {
        "control": analysis.variants[0],
        "confidence": confidence,
        "read_once": analysis.design.read_once,
        "correction": analysis.design.correction,
        "warnings": list(analysis.warnings),
        "cross_overs": analysis.cross_overs,
        "sample_ratio_mismatch": ratio.mismatch,
        "sample_ratio_p_value": ratio.p_value,
        "sample_ratio_sequential_p_value": ratio.sequential_p_value,
        "variants": [
            {"variant": name, "units": units, "share": units / sum(analysis.units), "expected_share": expected}
            for name, units, expected in zip(analysis.variants, analysis.units, ratio.expected_shares, strict=True)
        ],
        "lifts": [_flat(lift, confidence) for lift in analysis.lifts],
        "guardrails": [
            _flat(held.lift, confidence) | {"limit": held.limit, "verdict": held.verdict}
            for held in analysis.guardrails
        ],
        "segments": [_flat(lift, confidence) for lift in analysis.segments],
        "heterogeneity": [asdict(test) for test in analysis.heterogeneity],
        "sizes": [asdict(size) for size in analysis.sizes],
        "looks": [{"day": look.day.isoformat(), **_flat(look.lift, confidence)} for look in analysis.looks],
    }


def sections(analysis: Analysis) -> Iterable[Section]:
    """Return the tables of the report, in order."""
    design, ratio = analysis.design, analysis.sample_ratio
    always, once = f"{100 * design.confidence:g}%, at any time", f"{100 * design.confidence:g}%, read once"
    control = analysis.variants[0]
    yield Section(
        "Units",
        f"Sample ratio: {'MISMATCH' if ratio.mismatch else 'as expected'} (chi-square p = {_p(ratio.p_value)}; for a "
        f"watched test p = {_p(ratio.sequential_p_value)}; a mismatch is below {ratio.threshold:g}). "
        f"Cross-overs left out: {analysis.cross_overs:,}.",
        ("Variant", "Units", "Share", "Expected"),
        tuple(
            (name + (" (control)" if name == control else ""), f"{n:,}", _share(n / sum(analysis.units)), _share(share))
            for name, n, share in zip(analysis.variants, analysis.units, ratio.expected_shares, strict=True)
        ),
    )
    if analysis.lifts:
        basis = "read once" if design.read_once else "at any time"
        reduced = max(lift.variance_reduction for lift in analysis.lifts)
        yield Section(
            "Lift",
            f"Relative to {control}. Verdicts: p {basis}, corrected over the table ({design.correction}), below "
            f"{1 - design.confidence:.2g}. Intervals are not corrected."
            + (f" Covariates removed up to {_share(reduced)} of the variance." if design.covariates else ""),
            ("Metric", "Variant", "Control", "Variant's", "Lift", always, once, "p, corrected", "Verdict"),
            tuple(
                (
                    lift.metric,
                    lift.variant,
                    _value(lift, lift.control_value),
                    _value(lift, lift.variant_value),
                    *_relative(lift.relative),
                    _p(lift.adjusted_p_value),
                    lift.verdict(design.confidence),
                )
                for lift in analysis.lifts
            ),
        )
        yield Section(
            "Difference",
            "Variant less control: rates in percentage points (pp), else in the metric's own unit. p is not corrected.",
            ("Metric", "Variant", "Difference", always, once, "p, at any time", "p, read once"),
            tuple(
                (lift.metric, lift.variant, *_difference(lift), _p(lift.always_p_value), _p(lift.p_value))
                for lift in analysis.lifts
            ),
        )
    if analysis.guardrails:
        yield Section(
            "Guardrails",
            "Held: the interval rules the limit out. Broken: it lies beyond. Undecided: more units are needed.",
            ("Metric", "Variant", "Limit", "Lift", always, once, "Verdict"),
            tuple(
                (held.lift.metric, held.lift.variant, _signed(held.limit), *_relative(held.lift.relative), held.verdict)
                for held in analysis.guardrails
            ),
        )
    if analysis.segments:
        tests = "; ".join(
            f"{test.metric}, {test.variant}, {test.segment}: p = {_p(test.p_value)}" for test in analysis.heterogeneity
        )
        yield Section(
            "Segments",
            f"Corrected over this table. Whether the difference varies within a segment (Cochran's Q, corrected): "
            f"{tests or 'not tested'}.",
            ("Segment", "Metric", "Variant", "Control", "Variant's", "Lift", always, once, "p, corrected", "Verdict"),
            tuple(
                (
                    f"{lift.segment} = {lift.segment_value}",
                    lift.metric,
                    lift.variant,
                    _value(lift, lift.control_value),
                    _value(lift, lift.variant_value),
                    *_relative(lift.relative),
                    _p(lift.adjusted_p_value),
                    lift.verdict(design.confidence),
                )
                for lift in analysis.segments
            ),
        )
    if analysis.sizes:
        yield Section(
            "Size",
            f"Units of control and variant together; found with probability {design.power:.0%}. First figure: the test "
            "is read once; second: it is watched (at most so many, it may stop earlier). Days count from the start.",
            ("Metric", "Variant", "Units", "Can detect", "To detect", "Needs units", "Needs days"),
            tuple(
                (
                    size.metric,
                    size.variant,
                    f"{size.units:,}",
                    f"{_share(size.detectable)} / {_share(size.always_detectable)}",
                    _share(size.effect),
                    f"{size.units_needed:,} / {size.always_units_needed:,}",
                    f"{size.days_needed:,} / {size.always_days_needed:,}" if size.days_needed else "–",
                )
                for size in analysis.sizes
            ),
        )


def _looks_by_lift(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for lift in analysis.lifts:
        looks = [
            look for look in analysis.looks if (look.lift.metric, look.lift.variant) == (lift.metric, lift.variant)
        ]
        if len(looks) > 1:
            yield looks


def _flat(lift: Lift, confidence: float) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in asdict(lift).items():
        if isinstance(value, dict):
            flat[name] = value.pop("value")
            flat |= {f"{name}_{end}": bound for end, bound in value.items()}
        else:
            flat[name] = value
    return flat | {"verdict": lift.verdict(confidence)}


def _p(p_value: float) -> str:
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.2g}" if p_value < 0.1 else f"{p_value:.2f}"


def _share(share: float) -> str:
    return f"{100 * share:.2f}%"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}%" if math.isfinite(share) else "unbounded"


def _value(lift: Lift, value: float) -> str:
    return _share(value) if lift.kind == "rate" else f"{value:,.4g}"


def _range(low: str, high: str) -> str:
    return low if low == high == "unbounded" else f"{low} … {high}"


def _relative(estimate: Estimate) -> tuple[str, str, str]:
    return (
        _signed(estimate.value) if math.isfinite(estimate.value) else "–",
        _range(_signed(estimate.always_low), _signed(estimate.always_high)),
        _range(_signed(estimate.low), _signed(estimate.high)),
    )


def _difference(lift: Lift) -> tuple[str, str, str]:
    def text(value: float) -> str:
        return f"{100 * value:+.3f} pp" if lift.kind == "rate" else f"{value:+,.4g}"

    estimate = lift.difference
    return (
        text(estimate.value),
        _range(text(estimate.always_low), text(estimate.always_high)),
        _range(text(estimate.low), text(estimate.high)),
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }}
td {{ font-variant-numeric: tabular-nums; }}
p {{ color: #555; }}
svg {{ max-width: 100%; height: auto; display: block; margin: 1rem 0; }}
.warnings {{ background: #fff4d6; padding: .7rem 2rem; border-left: 4px solid #e0a100; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""
