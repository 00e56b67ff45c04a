"""What is known of the arms of a campaign: sums over the decisions made and the rewards that came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import Corrupt, InvalidInput

Floats = NDArray[np.float64]


def regressors(context: ArrayLike) -> Floats:
    """Return ``context`` with the intercept before it; shape (1 + len(context),).

    Raises:
        InvalidInput: it is not one row of finite numbers.
    """
    try:
        row = np.asarray(context, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"A context is a row of numbers; given {context!r}.") from None
    if row.ndim != 1 or not np.isfinite(row).all():
        raise InvalidInput(f"A context is one row of finite numbers; given {row.tolist()!r}.")
    return np.concatenate(([1.0], row))


@dataclass(frozen=True, slots=True, eq=False)
class ArmEvidence:
    """The sufficient statistics of a linear regression of an arm's reward on the context.

    It is a sum over decisions, so ``a + b`` is exact up to rounding whatever the order, and evidence gathered by
    several workers, or late, is added in the same way. With d numbers in the context, and x the context with a 1 before
    it (``regressors``):

    Attributes:
        gram: Sum of x x', float64, shape (1 + d, 1 + d); ``gram[0, 0]`` is the number of decisions.
        moment: Sum of reward times x, float64, shape (1 + d,); ``moment[0]`` is the sum of rewards.
        square: Sum of squared rewards.
    """

    gram: Floats
    moment: Floats
    square: float

    @classmethod
    def of(cls, reward: float, context: ArrayLike = (), count: float = 1.0) -> Self:
        """Return what one decision teaches of the arm that it chose.

        A reward that is waited for needs no bookkeeping: add ``of(0.0, context)`` when the arm is shown and
        ``of(reward, context, count=0)`` when the reward comes. The same context belongs to both.

        Args:
            reward: What came of it, finite: 1 for a click, an amount of money ...; negative where something was lost.
            context: The d numbers that were known when it was made.
            count: How many decisions these are: 1, or 0 where the decision has been counted before.

        Raises:
            InvalidInput: a number is not finite, or ``count`` is negative.
        """
        if not np.isfinite(reward):
            raise InvalidInput(f"A reward is a finite number; given {reward!r}.")
        if not (np.isfinite(count) and count >= 0):
            raise InvalidInput(f"A count of decisions is 0 or more; given {count!r}.")
        x = regressors(context)
        return cls(count * np.outer(x, x), reward * x, float(reward) ** 2)

    @classmethod
    def of_change(cls, before: float, after: float, context: ArrayLike = ()) -> Self:
        """Return what it teaches that a decision, counted with the reward ``before``, has earned ``after`` by now.

        Raises:
            InvalidInput: a number is not finite.
        """
        old, new = cls.of(before, context, count=0), cls.of(after, context, count=0)
        return cls(new.gram, new.moment - old.moment, new.square - old.square)

    @property
    def count(self) -> float:
        """How many decisions chose the arm."""
        return float(self.gram[0, 0])

    @property
    def total(self) -> float:
        """The sum of the arm's rewards."""
        return float(self.moment[0])

    def __add__(self, other: ArmEvidence) -> ArmEvidence:
        if self.moment.shape != other.moment.shape:
            raise InvalidInput(
                f"Evidence over contexts of {len(self.moment) - 1} numbers cannot be added to evidence over "
                f"contexts of {len(other.moment) - 1}. Use another campaign version when the context changes."
            )
        return ArmEvidence(self.gram + other.gram, self.moment + other.moment, self.square + other.square)

    def as_json(self) -> dict[str, Any]:
        """Return what ``from_json`` restores, bit for bit, out of lists and numbers."""
        return {"gram": self.gram.tolist(), "moment": self.moment.tolist(), "square": self.square}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the evidence that ``values`` describe.

        Raises:
            Corrupt: a part is missing, has the wrong shape, or is not finite.
        """
        try:
            gram = np.array(values["gram"], dtype=np.float64)
            moment = np.array(values["moment"], dtype=np.float64)
            square = float(values["square"])
        except (KeyError, TypeError, ValueError) as error:
            raise Corrupt(f"The stored evidence of an arm cannot be read: {error!r}.") from None
        if moment.ndim != 1 or gram.shape != (len(moment), len(moment)) or len(moment) == 0:
            raise Corrupt(f"The stored evidence of an arm has shapes {gram.shape} and {moment.shape}.")
        if not (np.isfinite(gram).all() and np.isfinite(moment).all() and np.isfinite(square)):
            raise Corrupt("The stored evidence of an arm holds numbers that are not finite.")
        return cls(gram, moment, square)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence about each arm, by name; an arm of which nothing is known is not in it.

    A commutative monoid: ``Evidence()`` is empty, ``a + b`` adds arm by arm.
    """

    arms: Mapping[str, ArmEvidence] = field(default_factory=dict)

    def __add__(self, other: Evidence) -> Evidence:
        arms = dict(self.arms)
        for arm, more in other.arms.items():
            arms[arm] = arms[arm] + more if arm in arms else more
        return Evidence(arms)

    @classmethod
    def total(cls, parts: Iterable[Evidence]) -> Evidence:
        """Return the sum of ``parts``."""
        return sum(parts, cls())

    def counts(self, arms: Sequence[str]) -> Floats:
        """Return how many decisions chose each of ``arms``; shape (len(arms),)."""
        return np.array([self.arms[arm].count if arm in self.arms else 0.0 for arm in arms])

    def totals(self, arms: Sequence[str]) -> Floats:
        """Return the sum of rewards of each of ``arms``; shape (len(arms),)."""
        return np.array([self.arms[arm].total if arm in self.arms else 0.0 for arm in arms])

    def as_json(self) -> dict[str, Any]:
        """Return what ``from_json`` restores, bit for bit."""
        return {arm: evidence.as_json() for arm, evidence in sorted(self.arms.items())}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the evidence that ``values`` describe.

        Raises:
            Corrupt: it is damaged.
        """
        return cls({arm: ArmEvidence.from_json(part) for arm, part in values.items()})
