"""Simulated worlds of decisions whose true values are known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TasteWorld:
    """Shoppers of a few tastes, and arms that each taste rewards at its own rate.

    Attributes:
        rates: Probability of a reward; shape (tastes, arms). Every taste is equally frequent.
    """

    rates: Floats

    @classmethod
    def of_twelve_arms(cls) -> TasteWorld:
        """Return 3 tastes and 12 arms: 5 % for what is not to one's taste, 8, 12, 16 and 20 % for the four that are."""
        rates = np.full((3, 12), 0.05)
        for arm in range(12):
            rates[arm % 3, arm] = 0.08 + 0.04 * (arm // 3)
        return cls(rates)

    @property
    def arms(self) -> list[str]:
        return [f"arm{i}" for i in range(self.rates.shape[1])]

    def visitors(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
        """Return the tastes of ``n`` visitors, shape (n,), and what is known of them, shape (n, tastes).

        What is known is the taste, one-hot, blurred with normal noise of standard deviation 0.2.
        """
        tastes = rng.integers(self.rates.shape[0], size=n)
        return tastes, np.eye(self.rates.shape[0])[tastes] + rng.normal(0, 0.2, (n, self.rates.shape[0]))


@dataclass(frozen=True)
class LoggedWorld:
    """A log of a stochastic policy, and a target policy whose true value is known.

    Attributes:
        taste, action: What each of the n visitors is, and was shown; shape (n,).
        reward: What came; shape (n,).
        logging, target: Probabilities of the arms under both policies; shape (tastes, arms).
        truth: Expected reward of a decision under the target policy.
    """

    taste: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: Floats
    logging: Floats
    target: Floats
    truth: float

    @property
    def propensity(self) -> Floats:
        """Probability with which each logged arm was chosen; shape (n,)."""
        return self.logging[self.taste, self.action]

    @property
    def target_probability(self) -> Floats:
        """Probability with which the target policy chooses each logged arm; shape (n,)."""
        return self.target[self.taste, self.action]

    @classmethod
    def of(cls, n: int, rng: np.random.Generator, rates: Floats, logging: Floats, target: Floats) -> LoggedWorld:
        """Return ``n`` decisions: arms drawn from ``logging``, rewards 1 at ``rates``; all shape (tastes, arms)."""
        taste = rng.integers(len(rates), size=n)
        cumulative = np.cumsum(logging, axis=1)[taste]
        action = (rng.random((n, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
        reward = (rng.random(n) < rates[taste, action]).astype(np.float64)
        return cls(taste, action, reward, logging, target, float((target * rates).sum(axis=1).mean()))


@dataclass(frozen=True)
class RankingWorld:
    """Rankings of ``slots`` different items drawn one after another, whose clicks may depend on what stands above.

    The item at each slot is drawn in proportion to the weights of the items that are left (Plackett-Luce).

    Attributes:
        appeal: Probability that an item is clicked when it is looked at; shape (items,).
        slots: Length of a ranking.
        stop: Probability that a click ends the reading (a cascade); 0 makes the slots independent of each other.
    """

    appeal: Floats
    slots: int
    stop: float

    def value(self, policy: Floats) -> float:
        """Return the expected clicks of a ranking drawn by ``policy``, over every possible list."""
        clicks = 0.0
        for items in permutations(range(len(self.appeal)), self.slots):
            probability, reading, left = 1.0, 1.0, float(policy.sum())
            expected = 0.0
            for item in items:
                probability *= policy[item] / left
                left -= policy[item]
                expected += reading * self.appeal[item]
                reading *= 1 - self.appeal[item] * self.stop
            clicks += probability * expected
        return clicks

    def rankings(
        self, n: int, rng: np.random.Generator, logging: Floats, target: Floats
    ) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
        """Return items, clicks, and each item's probability given those above it under both; shape (n, slots)."""
        rows, items = np.arange(n), len(self.appeal)
        left = np.ones((n, items), dtype=bool)
        shown, clicks = np.empty((n, self.slots), dtype=np.int64), np.zeros((n, self.slots))
        under = {name: np.empty((n, self.slots)) for name in ("logging", "target")}
        reading = np.ones(n, dtype=bool)
        for slot in range(self.slots):
            weights = left * logging
            cumulative = np.cumsum(weights, axis=1)
            item = (rng.random((n, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
            for name, policy in (("logging", logging), ("target", target)):
                under[name][:, slot] = policy[item] / (left * policy).sum(axis=1)
            click = reading & (rng.random(n) < self.appeal[item])
            reading &= ~(click & (rng.random(n) < self.stop))
            shown[:, slot], clicks[:, slot] = item, click
            left[rows, item] = False
        return shown, clicks, under["logging"], under["target"]
