"""Who asks: what the store knows of a visitor at the moment of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from features.affinities import Taste
from features.fields import Scalar
from features.interactions import History, IntArray
from features.profile_arrays import ITEM
from features.profile_store import Person, ProfileStore
from features.profiles import Profile
from features.segments import NO_SEGMENTS, Segments
from models.affinity import Affinity
from models.bundle import Bundle

NO_CODE: Final = 255
"""Stands for the event types that the bundle has no code for."""


class Values(Mapping[str, Scalar | None]):
    """What expressions may ask about a visitor by name, worked out when it is asked for.

    The names of ``ProfileValues``, ``context.NAME`` for what the request says of itself,
    ``affinity.DIMENSION.VALUE`` for how much more than usual a value is preferred, from 0 to 1, and ``segment.NAME``
    for whether the visitor belongs to a segment.
    """

    def __init__(
        self,
        profile: Profile,
        context: Mapping[str, Scalar],
        now: datetime,
        segments: Segments,
        history: History,
        affinity: Affinity | None = None,
    ) -> None:
        self._of, self._context, self._now = profile, context, now
        self._segments, self._history, self._affinity = segments, history, affinity

    def __getitem__(self, name: str) -> Scalar | None:
        if name.startswith("affinity.") and self._affinity is not None:
            _, dimension, value = name.split(".", 2)
            return self._affinity.preference(self._taste, dimension, value)
        if name.startswith("segment."):
            return self._segments.holds(name.removeprefix("segment."), self)
        if name.startswith("context."):
            return self._context[name.removeprefix("context.")]
        return self._profile[name]

    @cached_property
    def _profile(self) -> Mapping[str, Scalar | None]:
        return self._of.values(self._now)

    @cached_property
    def _taste(self) -> Taste:
        assert self._affinity is not None
        return self._affinity.taste(self._history, self._now)

    def __iter__(self) -> Iterator[str]:
        yield from self._profile
        yield from (f"context.{name}" for name in self._context)

    def __len__(self) -> int:
        return len(self._profile) + len(self._context)


def values_without_bundle(person: Person, context: Mapping[str, Scalar], now: datetime, segments: Segments) -> Values:
    """Return what expressions may ask about ``person`` where no bundle is served: nobody has an affinity."""
    return Values(person.profile, context, now, segments, History.empty())


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """Who asks.

    Attributes:
        user_id: The id of the request.
        identities: All ids of the same person; empty where nothing is known.
        profile: The sum of what is known of them.
        version: The number of the last event in the profile; 0 where there is none.
        history: The interactions with items of the bundle.
        values: What expressions may ask.
    """

    user_id: str
    identities: tuple[str, ...]
    profile: Profile
    version: int
    history: History
    values: Mapping[str, Scalar | None] = field(repr=False)


class Visitors:
    """The visitors as a bundle sees them: their items and event types in its codes.

    Attributes:
        segments: Those that they may belong to.
    """

    def __init__(self, bundle: Bundle, store: ProfileStore | None = None, segments: Segments = NO_SEGMENTS) -> None:
        """Read from ``store``; without one, and for those it does not know, the bundle's own histories count."""
        self._bundle, self.segments = bundle, segments
        self._affinity = cast("Affinity | None", bundle.scorers.get("affinity"))
        self._store = store
        self._codes = np.full(128, NO_CODE, np.uint8)
        self._index_of_number: IntArray = np.full(1, -1, np.int32)
        if store is not None:
            self._learn_numbers(store)

    def visitor(self, user_id: str, now: datetime, context: Mapping[str, Scalar] | None = None) -> Visitor:
        """Return who asks with the id ``user_id``; somebody without a history where nothing is known."""
        store = self._store
        if store is None:
            return self._of_bundle(user_id, now, context or {})
        person = store.person(user_id)
        if not person.identities:
            return self._of_bundle(user_id, now, context or {})
        history = self.history(person.profile)
        values = Values(person.profile, context or {}, now, self.segments, history, self._affinity)
        return Visitor(user_id, person.identities, person.profile, person.version, history, values)

    def values(self, person: Person, now: datetime) -> Values:
        """Return what expressions may ask about ``person``, where there is no request."""
        return Values(person.profile, {}, now, self.segments, self.history(person.profile), self._affinity)

    def history(self, profile: Profile) -> History:
        """Return the interactions of ``profile`` with items of the bundle."""
        history = profile.history(self._index_of_number, self._codes)
        if len(history) == len(profile.interactions) or self._store is None:
            return history
        if profile.interactions[:, ITEM].max() < len(self._index_of_number):
            return history  # what is left out is not of the bundle
        self._learn_numbers(self._store)
        return profile.history(self._index_of_number, self._codes)

    def _of_bundle(self, user_id: str, now: datetime, context: Mapping[str, Scalar]) -> Visitor:
        nothing = Profile.empty()
        history = self._bundle.history(user_id)
        values = Values(nothing, context, now, self.segments, history, self._affinity)
        return Visitor(user_id, (), nothing, 0, history, values)

    def _learn_numbers(self, store: ProfileStore) -> None:
        known = len(self._index_of_number)
        numbered = store.item_numbers(known - 1)
        if numbered:
            last = numbered[-1][0]
            numbers = np.array([number for number, _ in numbered], np.int64)
            grown: NDArray[np.int32] = np.full(last + 1, -1, np.int32)
            grown[:known] = self._index_of_number
            grown[numbers] = self._bundle.items.indices(item_id for _, item_id in numbered)
            self._index_of_number = grown
        codes = {name: code for code, name in enumerate(self._bundle.manifest.event_types)}
        for name, number in store.type_numbers().items():
            self._codes[number] = codes.get(name, NO_CODE)
