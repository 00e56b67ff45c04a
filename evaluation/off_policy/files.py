"""Logs and target policies in files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import model_validator

from evaluation.off_policy.analysis import Analysis, AnalysisSettings, analyse, analyse_rankings
from evaluation.off_policy.logs import Codes, Floats, LoggedDecisions, LoggedRankings
from evaluation.off_policy.reward_model import CATEGORIES, Target, predictions
from evaluation.tables import check_columns, missing, names, numbers, read_table
from features.errors import InvalidInput

PROBABILITY = "probability"
FOLDS = 5
FEWEST_UNITS = 10 * FOLDS


class Question(AnalysisSettings):
    """Which columns of a log say what, and which policy is asked about."""

    reward: str
    """What came of the decision."""
    propensity: str
    """Probability with which the logged arm was chosen."""
    action: str | None = None
    """The logged arm; needed with ``target_policy``."""
    target: str | None = None
    """Probability of the logged arm under the target policy."""
    target_policy: str | None = None
    """``uniform`` over the logged arms, ``fixed:ARM``, or a Parquet or CSV file with the column of ``action``, one
    called ``probability``, and others of the log that the policy depends on."""
    context: tuple[str, ...] = ()
    """What the reward model may know of a decision; with ``target_policy``."""
    unit: str | None = None
    """Whose decision it was, a customer's id: decisions of one unit may depend on each other."""
    ranking: str | None = None
    """Which ranking a row is a place of; where not given a row is a decision of its own."""
    position: str | None = None
    """The place in the ranking, 1 at the top."""
    given_above: bool = False
    """Whether probabilities are given the items above; else they are those of the place over all lists."""

    @model_validator(mode="after")
    def _fits_together(self) -> Question:
        if (self.target is None) == (self.target_policy is None):
            raise ValueError("give either target or target_policy")
        if self.target_policy is not None and self.action is None:
            raise ValueError("target_policy needs action")
        if (self.ranking is None) != (self.position is None):
            raise ValueError("give both ranking and position, or neither")
        if self.given_above and self.ranking is None:
            raise ValueError("given_above is said of rankings; give ranking and position")
        if self.ranking is not None and (self.target is None or self.unit is not None):
            raise ValueError("rankings need target, and are the units themselves")
        if self.context and self.target_policy is None:
            raise ValueError("context is for the reward model, which needs target_policy")
        return self


def analyse_file(path: Path, question: Question, rng: np.random.Generator) -> Analysis:
    """Return what the log in the Parquet or CSV file ``path`` says of the policy that ``question`` asks about.

    With ``target_policy`` a reward model is fitted, and the direct method and doubly robust are among the estimates.

    Raises:
        NotFound: a file does not exist.
        InvalidInput: a file cannot be read, a column is absent, or a value is missing or out of its range.
    """
    table = _policy_file(question)
    return _analysed(read_table(path, _columns(question, table)), table, question, str(path), rng)


def analyse_table(frame: pd.DataFrame, question: Question, where: str, rng: np.random.Generator) -> Analysis:
    """Return the same of a log in memory; ``where`` names it in messages."""
    table = _policy_file(question)
    check_columns(frame.columns.tolist(), _columns(question, table), where)
    return _analysed(frame.reset_index(drop=True), table, question, where, rng)


def _columns(question: Question, table: pd.DataFrame | None) -> list[str]:
    single = (question.action, question.target, question.unit, question.ranking, question.position)
    return [question.reward, question.propensity, *filter(None, single), *question.context, *_keys_of(table, question)]


def _keys_of(table: pd.DataFrame | None, question: Question) -> list[str]:
    """Return the columns of the log that the target policy depends on."""
    return [] if table is None else [name for name in table.columns if name not in (question.action, PROBABILITY)]


def _analysed(
    frame: pd.DataFrame, table: pd.DataFrame | None, question: Question, where: str, rng: np.random.Generator
) -> Analysis:
    if question.ranking:
        return analyse_rankings(_rankings(frame, question, where), question)
    reward, propensity = numbers(frame[question.reward], where), numbers(frame[question.propensity], where)
    unit = _codes(names(frame[question.unit], where)) if question.unit else None
    if question.target:
        return analyse(LoggedDecisions(reward, propensity, numbers(frame[question.target], where), unit), question)
    arms = names(frame[question.action], where)
    every, target = _policy(question, table, _keys_of(table, question), frame, arms, where)
    arm = pd.Index(every).get_indexer(pd.Index(arms)).astype(np.int64)
    never = ~np.isin(np.arange(len(every)), arm)
    never_logged = float(target.probabilities[target.group][:, never].sum(axis=1).mean()) if len(arm) else 0.0
    log = LoggedDecisions(reward, propensity, target.of(arm), unit, unsupported_share=never_logged)
    first = analyse(log, question)
    if first.answers[0].refusals:
        return first  # and the model, which is slow, is not fitted
    units, group = np.unique(np.arange(len(arm)) if unit is None else unit, return_inverse=True)
    if len(units) < FEWEST_UNITS:
        raise InvalidInput(f"A reward model needs {FEWEST_UNITS} units or more; {where} has {len(units)}. Use target.")
    context, categorical = _context(frame, question.context)
    fold = rng.permutation(np.arange(len(units)) % FOLDS)[group]
    predicted, value = predictions(arm, reward, target, context, categorical, fold, rng)
    return analyse(replace(log, predicted=predicted, predicted_value=value), question)


def _rankings(frame: pd.DataFrame, question: Question, where: str) -> LoggedRankings:
    position = numbers(frame[question.position], where)
    if not np.isfinite(position).all() or (position % 1 != 0).any():
        raise InvalidInput(f"{where}: column {question.position!r} must hold whole numbers, 1 at the top.")
    return LoggedRankings(
        ranking=_codes(names(frame[question.ranking], where)),
        position=position.astype(np.int64),
        reward=numbers(frame[question.reward], where),
        propensity=numbers(frame[question.propensity], where),
        target=numbers(frame[question.target], where),
        given_above=question.given_above,
    )


def _policy_file(question: Question) -> pd.DataFrame | None:
    """Return the table of the target policy, or None where it is not one."""
    spec = question.target_policy
    if spec is None or spec == "uniform" or spec.startswith("fixed:"):
        return None
    if Path(spec).suffix.lower() not in {".parquet", ".csv"}:
        raise InvalidInput(f"The target policy {spec!r} is none of: uniform, fixed:ARM, a .parquet or .csv file.")
    table = read_table(Path(spec))
    absent = [name for name in (question.action, PROBABILITY) if name not in table.columns]
    if absent:
        raise InvalidInput(
            f"{spec} has no column {', '.join(map(repr, absent))}; a policy needs both of these columns."
        )
    return table


def _policy(
    question: Question, table: pd.DataFrame | None, keys: list[str], frame: pd.DataFrame, logged: NDArray, where: str
) -> tuple[list[str], Target]:
    """Return the arms of the log and of the target policy, and the policy as a table over them."""
    everywhere = np.zeros(len(frame), dtype=np.int64)
    spec = str(question.target_policy)
    arms = sorted(set(logged))
    if table is None and spec == "uniform":
        return arms, Target(np.full((1, len(arms)), 1 / max(len(arms), 1)), everywhere)
    if table is None:
        arm = spec.removeprefix("fixed:")
        if arm not in arms:
            raise InvalidInput(f"{where} never logged arm {arm!r}; it logged {_some(arms)}.")
        return arms, Target(np.array([[float(name == arm) for name in arms]]), everywhere)
    probability, named = numbers(table[PROBABILITY], spec), names(table[question.action], spec)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise InvalidInput(f"{spec}: every {PROBABILITY} lies between 0 and 1; a row has none, or one beyond.")
    arms = sorted({*arms, *named})
    of_table, of_log = _keys(table, keys, spec), _keys(frame, keys, where)
    known = of_table.unique()
    group = known.get_indexer(of_log)
    if (group < 0).any():
        row = int(np.argmax(group < 0))
        raise InvalidInput(
            f"{spec} says nothing of {int((group < 0).sum())} rows of {where} (first: row {row + 1}, "
            f"{_context_of(keys, of_log[row])})."
        )
    probabilities = np.zeros((len(known), len(arms)))
    at = known.get_indexer(of_table), pd.Index(arms).get_indexer(named)
    if pd.MultiIndex.from_arrays(at).has_duplicates:
        raise InvalidInput(f"{spec} gives an arm twice in one context; give each once.")
    probabilities[at] = probability
    sums = probabilities.sum(axis=1)
    if (bad := np.abs(sums - 1) > 1e-6).any():
        first = int(np.argmax(bad))
        raise InvalidInput(
            f"{spec}: probabilities must sum to 1 in each context; in {int(bad.sum())} of {len(sums)} they do not "
            f"(first: {_context_of(keys, known[first])}, {sums[first]:.6g})."
        )
    return arms, Target(probabilities, group.astype(np.int64))


def _keys(frame: pd.DataFrame, keys: list[str], where: str) -> pd.MultiIndex:
    if not keys:
        return pd.MultiIndex.from_arrays([np.zeros(len(frame), dtype=np.int64)])
    return pd.MultiIndex.from_arrays([names(frame[key], where) for key in keys])


def _context_of(keys: list[str], values: Iterable[object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=False)) or "the only one"


def _context(frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the columns as numbers, those that are not numeric as codes by frequency; and which are codes."""
    numeric = {
        name: pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan) for name in columns
    }
    blank = {name: missing(frame[name]) for name in columns}
    categorical = np.array([bool((np.isnan(numeric[name]) & ~blank[name]).any()) for name in columns], dtype=bool)
    for name, coded in zip(columns, categorical, strict=True):
        if coded:
            frequent = frame[name][~blank[name]].astype(str).value_counts().index
            codes = np.minimum(frequent.get_indexer(pd.Index(frame[name].astype(str))), CATEGORIES).astype(np.float64)
            numeric[name] = np.where(blank[name], np.nan, codes)
    return np.array(list(numeric.values())).reshape(len(columns), len(frame)).T, categorical


def _codes(values: NDArray[np.object_]) -> Codes:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _some(values: list[str], most: int = 10) -> str:
    return ", ".join(map(repr, values[:most])) + (f" and {len(values) - most} more" if len(values) > most else "")
