"""Whether the variants got the units they were meant to get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from features.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The check for a sample-ratio mismatch, which says that units were lost or assigned wrongly: trust nothing then.

    Attributes:
        units: How many units each variant has.
        expected_shares: What share of them each was meant to have; they sum to 1.
        p_value: Of Pearson's chi-square test; for a test that is read once.
        sequential_p_value: Of the multinomial test; for a test that was watched, at the looks given.
        threshold: Below this, a p-value tells of a mismatch.
    """

    units: tuple[int, ...]
    expected_shares: tuple[float, ...]
    p_value: float
    sequential_p_value: float
    threshold: float

    @property
    def mismatch(self) -> bool:
        """Whether either p-value is below the threshold."""
        return min(self.p_value, self.sequential_p_value) < self.threshold


def sample_ratio(
    units_by_look: NDArray[np.int64], expected_shares: Sequence[float], *, threshold: float = 0.01
) -> SampleRatio:
    """Return whether the last of ``units_by_look`` fits ``expected_shares``.

    Args:
        units_by_look: The units of each variant at each look, cumulated; shape (looks, variants); a row for one look.
        expected_shares: One for each variant, above 0; only their proportions count.
        threshold: Below this, a p-value tells of a mismatch. Well below .05, as it is asked of every test (Fabijan et
            al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019).

    Raises:
        InvalidInput: a share is not above 0, there are not as many as variants, or nobody was counted.
    """
    shares = np.asarray(expected_shares, dtype=np.float64)
    units_by_look = np.atleast_2d(units_by_look)
    units = units_by_look[-1]
    if shares.shape != units.shape:
        raise InvalidInput(f"{len(shares)} expected shares are given for {len(units)} variants; give one for each.")
    if not np.all(np.isfinite(shares) & (shares > 0)):
        raise InvalidInput(f"The expected shares are {shares.tolist()}; each must be above 0.")
    if units.sum() == 0:
        raise InvalidInput("No unit was counted in any variant; there is no sample ratio to check.")
    shares = shares / shares.sum()
    return SampleRatio(
        units=tuple(units.tolist()),
        expected_shares=tuple(shares.tolist()),
        p_value=float(stats.chisquare(units, shares * units.sum()).pvalue),
        sequential_p_value=float(sequential_p_values(units_by_look, shares)[-1]),
        threshold=threshold,
    )


def sequential_p_values(
    units_by_look: NDArray[np.int64], expected_shares: NDArray[np.float64], *, concentration: float = 1_000
) -> NDArray[np.float64]:
    """Return, after each look, the smallest p-value so far; shape (..., looks).

    Under the expected shares s, none of them ever falls below alpha with probability 1 - alpha, however many looks
    there are. With counts n, a_i = concentration s_i, a = sum a_i and n. = sum n_i, a look's p-value is 1 / BF,

        BF = Gamma(a) / Gamma(a + n.) prod_i Gamma(a_i + n_i) / (Gamma(a_i) s_i^n_i),

    the Bayes factor of a Dirichlet(a) prior against the shares; Lindon and Malek, "Anytime-valid inference for
    multinomial count data", NeurIPS 2022 (arXiv 2011.03567).

    Args:
        units_by_look: Cumulated counts; shape (..., looks, variants).
        expected_shares: Shape (variants,); they sum to 1.
        concentration: How close to the expected shares a mismatch is thought to lie: the test is most sensitive when
            there are about ten times as many units.
    """
    prior = concentration * expected_shares
    log_bayes_factor = (
        special.gammaln(concentration)
        - special.gammaln(concentration + units_by_look.sum(axis=-1))
        + (special.gammaln(prior + units_by_look) - special.gammaln(prior)).sum(axis=-1)
        - (units_by_look * np.log(expected_shares)).sum(axis=-1)
    )
    p_values = np.exp(np.minimum(-log_bayes_factor, 0))
    return np.asarray(np.minimum.accumulate(p_values, axis=-1))
