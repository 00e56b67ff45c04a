"""Whether a log can tell of another policy at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from evaluation.intervals import Interval
from evaluation.off_policy.estimators import mean_interval
from evaluation.off_policy.logs import Codes, Floats
from features.settings import Settings


class OverlapSettings(Settings):
    """When an answer is refused."""

    min_effective_sample_size: float = Field(default=100.0, ge=2)
    """Fewest decisions of the target policy itself that the log must be worth."""
    max_unsupported_share: float = Field(default=0.05, ge=0, lt=1)
    """Largest share of the target policy's choices that the log may never make."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much a log says about the target policy.

    Attributes:
        rows: Logged decisions.
        effective_sample_size: (sum w)^2 / sum w^2: decisions of the target policy itself that would tell as much (Kong,
            "A note on importance sampling using standardized weights", 1992).
        effective_rewards: The same of w times the reward's size: how many rewards carry the estimate.
        max_weight: The largest weight.
        largest_share: Share of all weight in one row, 0 to 1.
        mean_weight: Mean weight; 1 where the probabilities are right and the log makes every choice of the target.
        unsupported_share: Share of the target's choices that are arms never logged; None where only the probability of
            the logged arm is known. Then 1 less the mean weight estimates it.
    """

    rows: int
    effective_sample_size: float
    effective_rewards: float
    max_weight: float
    largest_share: float
    mean_weight: Interval
    unsupported_share: float | None


def overlap_of(
    weight: Floats, reward: Floats, unit: Codes | None = None, unsupported_share: float | None = None
) -> Overlap:
    """Return the overlap that ``weight`` shows; ``weight``, ``reward`` and ``unit`` of shape (n,)."""
    mean = mean_interval(weight, unit)
    return Overlap(
        rows=len(weight),
        effective_sample_size=effective_size(weight),
        effective_rewards=effective_size(weight * np.abs(reward)),
        max_weight=float(weight.max()),
        largest_share=float(weight.max() / weight.sum()) if weight.any() else 0.0,
        mean_weight=mean,
        unsupported_share=unsupported_share,
    )


def refusals(overlap: Overlap, settings: OverlapSettings) -> tuple[str, ...]:
    """Return why no estimate can be given, a sentence each; empty where one can."""
    reasons = []
    allowed, mean = settings.max_unsupported_share, overlap.mean_weight
    if overlap.effective_sample_size < settings.min_effective_sample_size:
        reasons.append(
            f"The {overlap.rows:,} rows are worth {overlap.effective_sample_size:.1f} decisions of the target policy; "
            f"at least {settings.min_effective_sample_size:g} are due (largest weight {overlap.max_weight:.4g}, "
            f"{overlap.largest_share:.0%} of all weight in one row). Log more, or explore more."
        )
    if overlap.unsupported_share is not None and overlap.unsupported_share > allowed:
        reasons.append(
            f"{overlap.unsupported_share:.1%} of the target policy's choices are arms that were never logged; at most "
            f"{allowed:.0%} may be. Log with a policy that gives them some probability."
        )
    average = f"Weights average {mean.mean:.3g} ({mean.low:.3g} to {mean.high:.3g}) instead of 1: "
    if mean.high < 1 - allowed:
        reasons.append(f"{average}the log misses choices of the target policy, or its propensities are too large.")
    if mean.low > 1 + allowed:
        reasons.append(f"{average}the propensities are too small, or the target probabilities belong to other arms.")
    if overlap.effective_rewards == 0:
        reasons.append("No decision that the target policy would make was ever rewarded: there is nothing to compare.")
    return tuple(reasons)


def warnings(overlap: Overlap) -> tuple[str, ...]:
    """Return what a reader of the estimates must know, a sentence each."""
    if 0 < overlap.effective_rewards < 20:
        return (
            f"The estimates rest on {overlap.effective_rewards:.1f} rewards; with fewer than 20 their intervals are "
            "too short.",
        )
    return ()


def effective_size(weight: Floats) -> float:
    """Return (sum w)^2 / sum w^2, between 1 and the number of weights; 0 where all are 0."""
    squares = float(np.sum(weight**2))
    return float(np.sum(weight)) ** 2 / squares if squares > 0 else 0.0
