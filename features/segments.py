"""Named conditions on visitors, true or false at the moment of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import sqrt
from typing import Final

from numpy.random import Generator

from features.errors import InvalidInput, NotFound
from features.fields import NAME, Text
from features.predicates import Predicate, Values, predicate
from features.profile_store import Person, ProfileStore
from features.settings import Settings

SAMPLED: Final = 5_000
"""So many people are looked at to tell how many a segment has."""
Z: Final = 1.959964
"""Two-sided quantile of the normal distribution for 95 %."""


class SegmentSettings(Settings):
    """The file of segments, such as ``lovers = "affinity('category', 'Shoes') > 0.6 AND purchases = 0"``."""

    segments: dict[str, str] = {}
    """The table ``[segments]``: name = condition, see ``predicate``."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of a shop.

    Attributes:
        predicates: By name.
    """

    predicates: Mapping[str, Predicate]

    @classmethod
    def of_expressions(cls, expressions: Mapping[str, str]) -> Segments:
        """Return the segments that ``expressions`` define, by name.

        Raises:
            InvalidInput: a name or a condition is not allowed, or asks for a segment that is not there or for itself.
        """
        for name in expressions:
            if not Text(64, NAME).allows(name):
                raise InvalidInput(f"A segment cannot be called {name!r}: its name {Text(64, NAME).reason}.")
        segments = {name: predicate(expression) for name, expression in sorted(expressions.items())}
        for name, one in segments.items():
            if unknown := sorted(one.segments - segments.keys()):
                raise InvalidInput(f"The segment {name!r} asks for the segment {unknown[0]!r}, which there is not.")
        try:
            TopologicalSorter({name: one.segments for name, one in segments.items()}).prepare()
        except CycleError as error:
            raise InvalidInput(f"Segments ask for each other in a circle: {' -> '.join(error.args[1])}.") from None
        return cls(segments)

    def __getitem__(self, name: str) -> Predicate:
        """Return the condition of the segment ``name``.

        Raises:
            NotFound: there is none.
        """
        if name not in self.predicates:
            raise NotFound(f"There is no segment {name!r}. Segments: {', '.join(self.predicates) or 'none'}.")
        return self.predicates[name]

    def of(self, values: Values) -> frozenset[str]:
        """Return the names of the segments to which somebody belongs of whom ``values`` are known.

        ``values`` answer for ``segment.NAME`` by ``holds``.
        """
        return frozenset(name for name, holds in self.predicates.items() if holds(values))

    def holds(self, name: str, values: Values) -> bool | None:
        """Return whether somebody belongs to the segment ``name``, or None where there is none."""
        return self.predicates[name](values) if name in self.predicates else None


NO_SEGMENTS: Final = Segments({})


@dataclass(frozen=True, slots=True)
class Size:
    """How many people a segment has.

    Attributes:
        people: How many; an estimate where ``sampled`` is less than there are.
        low: The lower end of its 95 % interval (Wilson 1927); ``people`` where all were looked at.
        high: The upper end.
        sampled: How many people were looked at.
        of: How many there are.
        samples: The ids of some who belong to it.
    """

    people: int
    low: int
    high: int
    sampled: int
    of: int
    samples: tuple[str, ...]


def size(
    condition: Callable[[Values], bool],
    store: ProfileStore,
    values_of: Callable[[Person], Values],
    rng: Generator,
    samples: int = 10,
) -> Size:
    """Return how many people of ``store`` meet ``condition``, judged by at most ``SAMPLED`` drawn at random."""
    drawn = store.sample(SAMPLED, rng)
    members = [user_id for user_id in drawn if condition(values_of(store.person(user_id)))]
    of, n, k = store.people(), len(drawn), len(members)
    if n >= of:
        return Size(k, k, k, n, of, tuple(members[:samples]))
    share = k / n
    middle, width = share + Z**2 / (2 * n), Z * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = (of * (middle + side * width) / (1 + Z**2 / n) for side in (-1, 1))
    return Size(round(of * share), max(k, round(low)), round(high), n, of, tuple(members[:samples]))
