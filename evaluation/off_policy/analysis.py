"""What a log says of another policy: estimates, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from evaluation.intervals import Interval
from evaluation.off_policy.estimators import (
    MODELLING,
    WEIGHTING,
    Estimate,
    clipped_ips,
    estimate,
    mean_interval,
)
from evaluation.off_policy.logs import Floats, LoggedDecisions, LoggedRankings
from evaluation.off_policy.overlap import (
    Overlap,
    OverlapSettings,
    effective_size,
    overlap_of,
    refusals,
    warnings,
)
from evaluation.off_policy.rankings import Places, places_of, ranking_ips, ranking_snips


class AnalysisSettings(OverlapSettings):
    """How another policy is judged."""

    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of all intervals."""
    cap: float | None = Field(default=None, gt=0)
    """Where clipped IPS cuts its weights; at the square root of the number of rows where not given."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the log says under one assumption.

    Attributes:
        assumption: What is assumed of rankings (``rankings``); None for single decisions.
        overlap: How much the log tells of the target policy; for rankings, at the place where it tells least.
        refusals: Why there are no estimates, a sentence each.
        warnings: What to know when reading them, a sentence each.
        estimates: Of the target policy; empty where refused.
    """

    assumption: str | None
    overlap: Overlap
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a log says of another policy.

    Attributes:
        logged: What the logging policy earned, per decision or per ranking.
        answers: One for decisions; for rankings one for each assumption, the weakest last.
        confidence: Of all intervals.
    """

    logged: Interval
    answers: tuple[Answer, ...]
    confidence: float


def analyse(log: LoggedDecisions, settings: AnalysisSettings | None = None) -> Analysis:
    """Return what ``log`` says of its target policy.

    The direct method and doubly robust are among the estimates where the log carries predictions.
    """
    settings = settings or AnalysisSettings()
    overlap = overlap_of(log.weight, log.reward, log.unit, log.unsupported_share)
    refused = refusals(overlap, settings)
    estimators = dict(WEIGHTING) | (dict(MODELLING) if log.predicted is not None else {})
    estimators["clipped IPS"] = lambda log: clipped_ips(log, settings.cap)
    estimates = (
        ()
        if refused
        else tuple(
            estimate(name, terms(log), log.reward, log.unit, settings.confidence) for name, terms in estimators.items()
        )
    )
    logged = mean_interval(log.reward, log.unit, settings.confidence)
    return Analysis(logged, (Answer(None, overlap, refused, warnings(overlap), estimates),), settings.confidence)


def analyse_rankings(log: LoggedRankings, settings: AnalysisSettings | None = None) -> Analysis:
    """Return what ``log`` says of its target policy, under each assumption that its probabilities allow.

    Raises:
        InvalidInput: a place above another is missing, and the probabilities are given the items above.
    """
    settings = settings or AnalysisSettings()
    places = places_of(log)
    logged = places.reward.sum(axis=1)
    answers = []
    for assumption, weight in places.weight.items():
        overlap = _poorest(places, weight)
        refused = refusals(overlap, settings)
        estimates: Mapping[str, Floats] = (
            {} if refused else {"IPS": ranking_ips(places, weight), "SNIPS": ranking_snips(places, weight)}
        )
        answers.append(
            Answer(
                assumption,
                overlap,
                refused,
                warnings(overlap),
                tuple(
                    estimate(name, terms, logged, confidence=settings.confidence) for name, terms in estimates.items()
                ),
            )
        )
    return Analysis(mean_interval(logged, confidence=settings.confidence), tuple(answers), settings.confidence)


def _poorest(places: Places, weight: Floats) -> Overlap:
    at_each = [
        overlap_of(weight[there, place], places.reward[there, place]) for place, there in enumerate(places.shown.T)
    ]
    rewards = effective_size((weight * np.abs(places.reward))[places.shown])
    return replace(min(at_each, key=lambda overlap: overlap.effective_sample_size), effective_rewards=rewards)
