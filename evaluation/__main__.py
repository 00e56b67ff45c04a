"""``python -m evaluation``: measure what was done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console, RenderableType

from evaluation.ab_test import report
from evaluation.ab_test.analysis import analyse
from evaluation.ab_test.design import Design
from evaluation.ab_test.units import read, units_of
from evaluation.attribution import Goal
from evaluation.exposures import Subject, design_of, exposures, question_of, subject_of, with_global_holdout
from evaluation.off_policy import report as off_policy_report
from evaluation.off_policy.files import Question, analyse_file, analyse_table
from features.command_line import Var, in_a_folder, run, write
from features.errors import InvalidInput, NotFound
from features.fields import Rejected, Time
from features.layout import Layout
from features.settings import Settings


def _moment(text: str) -> datetime:
    """Return the moment that an option gives: a time with its offset from UTC, or a day, which begins in UTC."""
    try:
        return Time().value(f"{text}T00:00:00Z" if len(text) == len("2026-11-01") else text)
    except Rejected as rejected:
        raise typer.BadParameter(f"{rejected}, or a day such as 2026-11-21; given {text!r}") from None


@contextmanager
def _naming_options(settings: type[Settings]) -> Iterator[None]:
    """Let a mistake in ``settings`` be told by the names of the options: one that is repeatable has a plural there."""
    try:
        yield
    except InvalidInput as error:
        names = "|".join(settings.model_fields)

        def option(found: re.Match[str]) -> str:
            name = found["name"]
            return found[0] if name is None else f"--{name.removesuffix('s').replace('_', '-')}"

        raise InvalidInput(re.sub(rf"\(given .*?\)|\b(?P<name>{names})\b", option, str(error))) from None


WIDTH = 160
"""Of what goes into a file or a pipe, in characters."""

DEFAULT_VAR = Path("var")
Since = Annotated[
    datetime | None, typer.Option(parser=_moment, help="Leave out exposures before it, as 2026-11-01 (UTC).")
]
Until = Annotated[datetime | None, typer.Option(parser=_moment, help="Leave out exposures from it on.")]
WindowDays = Annotated[
    float | None, typer.Option(help="How long after an exposure something counts, in place of the goal's own window.")
]

JsonOut = Annotated[Path | None, typer.Option("--json", callback=in_a_folder, help="Write the results here.")]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Measure what was done, and what could have been: A/B tests one can trust, and off-policy estimates."""


@app.command("ab")
def read_ab_test(
    file: Annotated[Path | None, typer.Argument(help="Parquet or CSV file; any number of rows for each unit.")] = None,
    experiment: Annotated[
        str | None, typer.Option(help="In place of a file: an experiment of Attune's own log, or global_holdout.")
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="In place of a file: a campaign, its experiences or its holdout compared.")
    ] = None,
    global_holdout: Annotated[
        float | None,
        typer.Option(envvar="ATTUNE_GLOBAL_HOLDOUT", help="The share held out, to check what came of it against."),
    ] = None,
    since: Since = None,
    until: Until = None,
    window_days: WindowDays = None,
    var: Var = DEFAULT_VAR,
    variant: Annotated[str | None, typer.Option(help="Column of the file with the variant.")] = None,
    unit: Annotated[
        str | None, typer.Option(help="Column with what was randomised, as a customer's id. Default: each row.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Column to be moved: 0/1 is a rate, else the mean of sums. Repeatable.")
    ] = None,
    ratio: Annotated[
        list[str] | None, typer.Option(help="NUM/DEN, sum over sum; DEN may be 'rows' or 'units'. Repeatable.")
    ] = None,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(help="COL:-2% must not fall, COL:+2% must not rise by so much; COL is COL:-2%. Repeatable."),
    ] = None,
    covariate: Annotated[
        list[str] | None, typer.Option(help="Column known before the test, to reduce variance. Repeatable.")
    ] = None,
    segment: Annotated[list[str] | None, typer.Option(help="Column whose values are shown apart. Repeatable.")] = None,
    time: Annotated[str | None, typer.Option(help="Column with the time of a row; a unit enters at its first.")] = None,
    control: Annotated[
        str | None, typer.Option(help="The variant to compare with. Default: 'control', or the first.")
    ] = None,
    share: Annotated[
        list[str] | None, typer.Option(help="NAME=SHARE that each variant was meant to have. Default: equal.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    planned_units: Annotated[
        int, typer.Option(help="Units at which always-valid intervals are sharpest; chosen before looking.")
    ] = 10_000,
    read_once: Annotated[
        bool, typer.Option("--read-once", help="The test is read only now, at its planned end: use fixed intervals.")
    ] = False,
    correction: Annotated[str, typer.Option(help="For many metrics: holm or benjamini-hochberg.")] = "holm",
    effect: Annotated[float, typer.Option(help="The relative lift not to be missed, for the size needed.")] = 0.05,
    power: Annotated[float, typer.Option(help="The probability with which it is to be found.")] = 0.8,
    missing_as_zero: Annotated[
        bool, typer.Option("--missing-as-zero", help="A missing metric means that nothing happened.")
    ] = False,
    json_out: JsonOut = None,
    html_out: Annotated[
        Path | None, typer.Option("--html", callback=in_a_folder, help="Write a page with plots here.")
    ] = None,
) -> None:
    """Read an A/B test: was it fair, what did it change, how sure is that, and when is it enough."""
    subject = _subject(file, experiment, campaign, var, window_days, since, until)
    if subject is not None and global_holdout is not None:
        subject = with_global_holdout(subject, global_holdout)
    if subject is None and variant is None:
        raise InvalidInput("Say with --variant which column of the file holds the variant.")
    given = {
        "metrics": tuple(metric or ()),
        "ratios": tuple(ratio or ()),
        "guardrails": tuple(guardrail or ()),
        "covariates": tuple(covariate or ()),
        "segments": tuple(segment or ()),
        "control": control,
        "shares": dict(_share(text) for text in share or ()),
        "confidence": confidence,
        "planned_units": planned_units,
        "read_once": read_once,
        "correction": correction,
        "effect": effect,
        "power": power,
        "missing_as_zero": missing_as_zero,
    }
    columns = {"variant": variant, "unit": unit, "time": time}
    if subject is None:
        assert file is not None
        with _naming_options(Design):
            design = Design.of(given | columns, "The command line")
        units = read(file, design)
    else:
        if named := [f"--{name}" for name, column in columns.items() if column is not None]:
            raise InvalidInput(f"{', '.join(named)}: the log knows its own columns; leave that out.")
        shown = exposures(Layout(var), subject, datetime.now(UTC), since, until)
        with _naming_options(Design):
            design = design_of(subject, shown.frame, given)
        units = units_of(shown.frame, design, f"The {subject.kind} {subject.name!r}")
        units = replace(units, warnings=shown.warnings + units.warnings)
    analysis = analyse(units, design)
    _print(report.terminal(analysis))
    for path, text in ((json_out, report.as_json), (html_out, report.html)):
        if path is not None:
            write(path, text(analysis))


@app.command("off-policy")
def tell_another_policy(
    file: Annotated[
        Path | None, typer.Argument(help="Parquet or CSV file, one row for each decision or place of a ranking.")
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="In place of a file: a campaign of Attune's own log; with --target-policy.")
    ] = None,
    since: Since = None,
    until: Until = None,
    window_days: WindowDays = None,
    var: Var = DEFAULT_VAR,
    reward: Annotated[str | None, typer.Option(help="Column of the file with what came of the decision.")] = None,
    propensity: Annotated[
        str | None, typer.Option(help="Column with the probability with which the logged arm was chosen.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="Column with the logged arm; needed with --target-policy.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Column with the logged arm's probability under the other policy.")
    ] = None,
    target_policy: Annotated[
        str | None,
        typer.Option(
            help="The other policy whole: uniform, fixed:ARM, or a file with the column of --action, one called "
            "'probability', and any of the log that it depends on. Adds the direct method and doubly robust."
        ),
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Column known before the decision, for the reward model. Repeatable.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Column with whose decision it was, as a customer's id. Default: each row.")
    ] = None,
    ranking: Annotated[str | None, typer.Option(help="Column with the ranking of which the row is a place.")] = None,
    position: Annotated[str | None, typer.Option(help="Column with that place, 1 at the top.")] = None,
    given_above: Annotated[
        bool, typer.Option("--given-above", help="Probabilities are given the items above, not over all lists.")
    ] = False,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    cap: Annotated[
        float | None, typer.Option(help="Largest weight of clipped IPS. Default: the square root of the rows.")
    ] = None,
    min_effective_sample_size: Annotated[float, typer.Option(help="Below it there is no answer.")] = 100.0,
    max_unsupported_share: Annotated[
        float, typer.Option(help="Of the other policy's choices that the log never made; beyond it, no answer.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of the reward model's folds.")] = 0,
    json_out: JsonOut = None,
) -> None:
    """Tell what another policy would have earned, from a log with propensities; status 1 where the log cannot tell."""
    subject = _subject(file, None, campaign, var, window_days, since, until)
    if subject is None and (reward is None or propensity is None):
        raise InvalidInput("Say with --reward and --propensity which columns of the file hold these.")
    columns = {
        "reward": reward,
        "propensity": propensity,
        "action": action,
        "target": target,
        "unit": unit,
        "ranking": ranking,
        "position": position,
    }
    given = {
        "target_policy": target_policy,
        "context": tuple(context or ()),
        "given_above": given_above,
        "confidence": confidence,
        "cap": cap,
        "min_effective_sample_size": min_effective_sample_size,
        "max_unsupported_share": max_unsupported_share,
    }
    rng = np.random.default_rng(seed)
    if subject is None:
        assert file is not None
        with _naming_options(Question):
            question = Question.of(given | columns, "The command line")
        analysis = analyse_file(file, question, rng)
    else:
        if named := [f"--{name}" for name, column in columns.items() if column is not None]:
            raise InvalidInput(f"{', '.join(named)}: the log knows its own columns; leave that out.")
        with _naming_options(Question):
            question = question_of(subject, given)
        shown = exposures(Layout(var), subject, datetime.now(UTC), since, until)
        _print("\n".join(f"! {warning}" for warning in shown.warnings))
        chosen = shown.frame[shown.frame["experience"].notna()]
        analysis = analyse_table(chosen, question, f"The campaign {subject.name!r}", rng)
    _print(off_policy_report.terminal(analysis))
    if json_out is not None:
        write(json_out, off_policy_report.as_json(analysis))
    if not any(answer.estimates for answer in analysis.answers):
        raise typer.Exit(1)


def _subject(
    file: Path | None,
    experiment: str | None,
    campaign: str | None,
    var: Path,
    window_days: float | None,
    since: datetime | None,
    until: datetime | None,
) -> Subject | None:
    """Return what of Attune's own log is meant; None for a file."""
    given = [one for one in (file, experiment, campaign) if one is not None]
    if len(given) != 1:
        raise InvalidInput(f"Give one of a file, --experiment and --campaign; given are {len(given)} of them.")
    if file is not None:
        of_the_log = {"--window-days": window_days, "--since": since, "--until": until}
        if named := [name for name, value in of_the_log.items() if value is not None]:
            raise InvalidInput(f"{', '.join(named)}: that is said of Attune's own log; a file is read whole.")
        return None
    if not Layout(var).database.is_file():
        raise NotFound(f"There is no log in {var}. Give the service's folder with --var.")
    subject = (
        subject_of(Layout(var), "experiment", experiment)
        if experiment is not None
        else subject_of(Layout(var), "campaign", str(campaign))
    )
    if window_days is None:
        return subject
    goal = Goal.of(subject.goal.model_dump() | {"window_days": window_days}, "--window-days")
    return replace(subject, goal=goal)


def _print(text: RenderableType) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(text)


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name, float(share)
    except ValueError:
        raise InvalidInput(f"The share {text!r} is not NAME=SHARE, as in control=0.5.") from None


if __name__ == "__main__":
    run(app, "evaluation")
