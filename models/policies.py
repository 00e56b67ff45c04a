"""Ways to choose one of several arms, each as a probability for every arm.

A policy is configuration; what it has learned is an ``Evidence`` given to it, so a decision is a pure function that can
be replayed. Sampling and the logged propensity both come from the probabilities a policy returns: ``choose`` draws from
them and returns the number it drew with. Thompson sampling therefore does not draw from the posterior: it computes how
probable each arm is to be best, by quadrature, and draws from that. An error of the quadrature changes the policy by as
much and leaves the propensity exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.special import betainc, ndtr

from features.errors import InvalidInput, NotFound
from features.settings import Settings
from models.evidence import ArmEvidence, Evidence, Floats, regressors


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Attributes:
        arm: The arm.
        propensity: The probability with which it was chosen, above 0.
    """

    arm: str
    propensity: float


def choose(arms: Sequence[str], probabilities: Floats, rng: np.random.Generator) -> Choice:
    """Return one of ``arms``, drawn with ``probabilities``; an arm of probability 0 is never drawn."""
    cumulative = np.cumsum(probabilities)
    index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return Choice(arms[index], float(probabilities[index]))


class PolicySettings(Settings):
    """What every policy that learns can be told."""

    uniform_share: float = Field(default=0.01, ge=0, le=1)
    """Share of decisions made uniformly at random: each arm keeps a probability of at least this over the number of
    arms, without which no other policy can be evaluated on the log."""


@runtime_checkable
class Policy(Protocol):
    """A way to choose an arm; immutable, deterministic and free of side effects."""

    name: ClassVar[str]
    """How configuration calls it."""

    config: Settings

    def probabilities(
        self, evidence: Evidence, arms: Sequence[str], context: ArrayLike = (), worth: ArrayLike | None = None
    ) -> Floats:
        """Return the probability of each of ``arms``; shape (len(arms),), at least 0, of sum 1 up to rounding.

        Args:
            evidence: What is known. An arm that is not in it has the prior; one that is only in it is not chosen.
            arms: The arms on offer, each once, at least one.
            context: d finite numbers, of size about 1; the same ones in the same order each time.
            worth: What one unit of reward of each arm is worth (its margin), above 0; 1 where not given. The policy
                favours the arm whose expected reward times its worth is highest, so evidence outlives a price.

        Raises:
            InvalidInput: arms, context or worth are not like that, or the evidence was gathered over other contexts.
        """

    def evidence(self, arm: str, reward: float, context: ArrayLike = (), count: float = 1.0) -> Evidence:
        """Return what a decision and its reward teach, to be added to what is known; see ``ArmEvidence.of``.

        Raises:
            InvalidInput: the reward is not one that this policy can learn from.
        """


class _Policy(ABC):
    """What the policies below share: their settings, the checks of what they are given, evidence over contexts."""

    name: ClassVar[str]
    settings: ClassVar[type[Settings]]
    config: Settings

    def __init__(self, config: Settings | None = None) -> None:
        self.config = self.settings() if config is None else config

    def probabilities(
        self, evidence: Evidence, arms: Sequence[str], context: ArrayLike = (), worth: ArrayLike | None = None
    ) -> Floats:
        if not arms or len(set(arms)) != len(arms):
            raise InvalidInput(f"A policy needs at least one arm, each once; given {list(arms)!r}.")
        worths = np.ones(len(arms)) if worth is None else np.asarray(worth, dtype=np.float64)
        if worths.shape != (len(arms),) or not (np.isfinite(worths).all() and (worths > 0).all()):
            raise InvalidInput(f"Give one worth above 0 for each of the {len(arms)} arms; given {worths.tolist()!r}.")
        return self._preferred(evidence, arms, regressors(context), worths)

    def evidence(self, arm: str, reward: float, context: ArrayLike = (), count: float = 1.0) -> Evidence:
        return Evidence({arm: ArmEvidence.of(reward, context, count)})

    @abstractmethod
    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        """Return the probability of each of ``arms`` before any uniform share; ``x`` are the ``regressors``."""


class _Learning(_Policy):
    """A policy that prefers what did well, and gives every arm a uniform share."""

    config: PolicySettings

    def probabilities(
        self, evidence: Evidence, arms: Sequence[str], context: ArrayLike = (), worth: ArrayLike | None = None
    ) -> Floats:
        share = self.config.uniform_share
        return (1 - share) * super().probabilities(evidence, arms, context, worth) + share / len(arms)


class UniformSettings(Settings):
    """Uniform choice has nothing to set."""


class Uniform(_Policy):
    """Every arm with the same probability."""

    name = "uniform"
    settings = UniformSettings

    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        return np.full(len(arms), 1 / len(arms))


class FixedSettings(Settings):
    """The probabilities to keep."""

    shares: dict[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)
    """Share of each arm, at least 0; those on offer are divided by their sum."""


class Fixed(_Policy):
    """Probabilities that nothing changes: one arm always, or a split. At least one arm on offer must have a share."""

    name = "fixed"
    settings = FixedSettings
    config: FixedSettings

    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        shares = np.array([self.config.shares.get(arm, 0.0) for arm in arms])
        if shares.sum() <= 0:
            raise InvalidInput(
                f"The fixed policy gives a share to {sorted(self.config.shares)} only; on offer are {list(arms)}."
            )
        return shares / shares.sum()


class BetaThompsonSettings(PolicySettings):
    """The prior of an arm's rate of reward."""

    prior_rewards: float = Field(default=1.0, gt=0)
    """Rewards that each arm is taken to have had: the first parameter of its Beta distribution."""
    prior_failures: float = Field(default=1.0, gt=0)
    """Decisions without reward that each arm is taken to have had: the second parameter."""


class BetaThompson(_Learning):
    """Thompson sampling of rewards between 0 and 1, such as clicks, whatever the context.

    The rate of arm a is Beta(prior_rewards + rewards, prior_failures + decisions - rewards); an arm is chosen with the
    probability that its rate times its worth is the highest.

    Source: Thompson, "On the likelihood that one unknown probability exceeds another in view of the evidence of two
    samples", Biometrika 25, 1933; Chapelle and Li, "An empirical evaluation of Thompson sampling", NeurIPS 2011,
    algorithm 2.
    """

    name = "thompson"
    settings = BetaThompsonSettings
    config: BetaThompsonSettings

    def evidence(self, arm: str, reward: float, context: ArrayLike = (), count: float = 1.0) -> Evidence:
        if not 0 <= reward <= 1:
            raise InvalidInput(
                f"Policy {self.name!r} learns from rewards between 0 and 1; given {reward!r}. "
                f"Use {LinearThompson.name!r} for amounts, or give the amount as the arm's worth."
            )
        return super().evidence(arm, reward, context, count)

    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        rewards = evidence.totals(arms)
        # A reward may arrive before the decision that earned it is counted.
        failures = np.maximum(evidence.counts(arms) - rewards, 0.0)
        a, b = self.config.prior_rewards + rewards, self.config.prior_failures + failures
        mean = a / (a + b)
        sd = np.sqrt(mean * (1 - mean) / (a + b + 1))
        return best_arm_probabilities(
            lambda t: betainc(a, b, np.clip(t / worth, 0.0, 1.0)), mean * worth, sd * worth, low=0.0, high=worth.max()
        )


class LinearSettings(PolicySettings):
    """How a linear model of reward on context is fitted, arm by arm."""

    prior_precision: float = Field(default=1.0, gt=0)
    """Ridge penalty: prior precision of each coefficient, in units of the noise's."""
    prior_noise: float = Field(default=1.0, gt=0)
    """Standard deviation of a reward given the context, as believed before any was seen."""
    prior_count: float = Field(default=1.0, gt=0)
    """Number of rewards that this belief counts for; the noise is shared by the arms on offer."""
    exploration: float = Field(default=1.0, ge=0)
    """Factor on the standard deviation of an arm's expected reward; 1 is the posterior's own."""


class _Linear(_Learning):
    settings = LinearSettings
    config: LinearSettings

    def expected_rewards(self, evidence: Evidence, arms: Sequence[str], x: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of each arm's expected reward at ``x``; both shape (len(arms),).

        With P = prior_precision I + gram: mean x'P^-1 moment, variance s^2 x'P^-1 x, where s^2 pools the residuals of
        all ``arms`` with the prior noise.

        Raises:
            InvalidInput: the evidence was gathered over contexts of another length.
        """
        mean, spread = np.zeros(len(arms)), np.full(len(arms), x @ x / self.config.prior_precision)
        count, unexplained = self.config.prior_count, self.config.prior_count * self.config.prior_noise**2
        for i, arm in enumerate(arms):
            known = evidence.arms.get(arm)
            if known is None:
                continue
            if known.moment.shape != x.shape:
                raise InvalidInput(
                    f"The context has {len(x) - 1} numbers; the evidence on arm {arm!r} was gathered with "
                    f"{len(known.moment) - 1}. Use another campaign version when the context changes."
                )
            fit = _fitted(known, self.config.prior_precision)
            mean[i], spread[i] = x @ fit.coefficients, x @ fit.covariance @ x
            count, unexplained = count + known.count, unexplained + fit.unexplained
        return mean, np.sqrt(unexplained / count * np.maximum(spread, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The ridge regression of an arm: its coefficients, their covariance where the noise is 1, and what it leaves."""

    coefficients: Floats
    covariance: Floats
    unexplained: float


@lru_cache(maxsize=1024)
def _fitted(known: ArmEvidence, prior_precision: float) -> _Fit:
    # Kept, for many decisions are made on the same evidence, and each reward changes that of one arm.
    covariance: Floats = np.asarray(np.linalg.inv(known.gram + prior_precision * np.eye(len(known.moment))), np.float64)
    coefficients = covariance @ known.moment
    explained = 2 * coefficients @ known.moment - coefficients @ known.gram @ coefficients
    return _Fit(coefficients, covariance, max(known.square - float(explained), 0.0))


class EpsilonGreedySettings(LinearSettings):
    """Greedy choice with a uniform share."""

    uniform_share: float = Field(default=0.1, ge=0, le=1)
    """Epsilon: the share of decisions made uniformly at random."""


class EpsilonGreedy(_Linear):
    """The arm of highest expected reward times worth; a uniform one with probability epsilon (``uniform_share``).

    Expected rewards are those of a ridge regression on the context; without a context they are the arm's mean reward,
    shrunk towards 0 by ``prior_precision`` decisions. Equal arms share the probability.

    Source: Sutton and Barto, "Reinforcement learning", 2018, section 2.2.
    """

    name = "epsilon_greedy"
    settings = EpsilonGreedySettings

    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        mean, _ = self.expected_rewards(evidence, arms, x)
        return _shared_by_the_best(mean * worth)


class LinUcb(_Linear):
    """The arm of highest upper confidence bound, mean + exploration times standard deviation, times worth.

    Deterministic but for ``uniform_share`` and ties, so that is what its log can say of other policies.

    Source: Li et al., "A contextual-bandit approach to personalized news article recommendation", WWW 2010,
    algorithm 1, with the standard deviation in units of reward (their alpha is ``exploration`` times the noise).
    """

    name = "lin_ucb"

    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        mean, sd = self.expected_rewards(evidence, arms, x)
        return _shared_by_the_best((mean + self.config.exploration * sd) * worth)


class LinearThompson(_Linear):
    """Thompson sampling of a linear model for each arm; without a context, Gaussian Thompson sampling of amounts.

    An arm is chosen with the probability that its expected reward at the context, times its worth, is the highest;
    expected rewards are normal and independent, given the noise.

    Source: Agrawal and Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013, algorithm 1,
    with a model for each arm and v = exploration times the estimated noise.
    """

    name = "linear_thompson"

    def _preferred(self, evidence: Evidence, arms: Sequence[str], x: Floats, worth: Floats) -> Floats:
        mean, sd = self.expected_rewards(evidence, arms, x)
        mean, sd = mean * worth, self.config.exploration * sd * worth
        if not sd.all():
            return _shared_by_the_best(mean)
        return best_arm_probabilities(lambda t: ndtr((t - mean) / sd), mean, sd)


POLICIES: Final[Mapping[str, type[_Policy]]] = {
    policy.name: policy for policy in (Uniform, Fixed, EpsilonGreedy, BetaThompson, LinUcb, LinearThompson)
}
"""The policies by the name that configuration gives them."""


def policy_of(name: str, values: dict[str, Any], where: str) -> Policy:
    """Return the policy that is called ``name``, with the settings ``values``; ``where`` names their origin.

    Raises:
        NotFound: there is no such policy.
        InvalidInput: a key is unknown or a value is out of its range.
    """
    if name not in POLICIES:
        raise NotFound(f"{where}: there is no policy {name!r}; there are: {', '.join(POLICIES)}.")
    policy = POLICIES[name]
    return policy(policy.settings.of(values, where))


_DEVIATIONS: Final = np.concatenate([np.linspace(-4.5, 4.5, 31), [5.5, 7.0, 9.0, 12.0]])
"""Where the quadrature looks at each arm, in standard deviations; further up, for rates are skewed to the right."""


def best_arm_probabilities(
    cdf: Callable[[Floats], Floats], mean: Floats, sd: Floats, low: float = -np.inf, high: float = np.inf
) -> Floats:
    """Return the probability that each of n independent quantities is the largest; shape (n,), of sum 1.

    P(a) is the integral of prod_{b != a} F_b over dF_a. It is taken by the trapezoidal rule over the union of all
    arms' grids, so that arms known well and arms hardly known are both resolved; the error is below 0.005.

    Args:
        cdf: Maps points of shape (m, 1) to the distribution functions F there; shape (m, n).
        mean: Means; shape (n,).
        sd: Standard deviations, above 0; shape (n,).
        low: No quantity is below it.
        high: No quantity is above it.
    """
    if len(mean) == 1:
        return np.ones(1)
    grid = np.clip((mean[:, None] + sd[:, None] * _DEVIATIONS).ravel(), low, high)
    # Below the best arm's reach nothing can be the largest.
    start = np.max(mean - 6 * sd)
    grid = np.sort(np.concatenate([grid[grid > start], [max(start, low)], [high] if np.isfinite(high) else []]))
    F = cdf(grid[:, None])
    F[0] = 0.0
    F[-1] = 1.0
    # The product of all but one, without dividing by an F that may be 0.
    others = np.ones_like(F)
    np.cumprod(F[:, :-1], axis=1, out=others[:, 1:])
    others[:, :-1] *= np.cumprod(F[:, :0:-1], axis=1)[:, ::-1]
    best = np.sum((F[1:] - F[:-1]) * (others[1:] + others[:-1]), axis=0)
    return best / best.sum()


def _shared_by_the_best(score: Floats) -> Floats:
    best = score >= score.max()
    return best / best.sum()
