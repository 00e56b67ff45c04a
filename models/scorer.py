"""What every way to score items has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import BYTES, DOUBLE, FLOATS, LONGS
from features.events import PURCHASE
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot

Scores = NDArray[np.float32]
Features = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a scorer favours an item.

    Attributes:
        kind: The scorer's name, in the words of the API: ``popular``, ``together``, ``affinity``, ``buy_again`` ...
        text: One sentence for a person, with ``{0}``, ``{1}`` ... where the ids of ``items`` belong.
        items: Indices of the items in the profile's history that speak for it, strongest first.
    """

    kind: str
    text: str
    items: tuple[int, ...] = ()


@runtime_checkable
class Scorer(Protocol):
    """A way to score items for a profile.

    A scorer is a frozen dataclass: its settings, what it learned, and the parts it is composed of, where it has any. It
    knows nothing of users: all it learns of one is the history it is given, so an event counts from the next request
    on, and the same object serves, is evaluated, and makes training examples.

    Item indices are those of the snapshot it was fitted on. All methods are deterministic and free of side effects.
    """

    name: ClassVar[str]
    """How recipes, MLflow and the command line call it."""

    feature_names: ClassVar[tuple[str, ...]] = ("score",)
    """Names of the columns of ``features``."""

    config: Settings

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the score of each of ``items``; shape (len(items),), finite, higher is better, 0 for nothing known."""

    def contributions(self, history: History, items: IntArray, now: datetime) -> dict[str, Scores]:
        """Return the named parts that add up to ``scores``, each of shape (len(items),)."""
        return {self.name: self.scores(history, items, now)}

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return what the scorer knows of each of ``items``, for a ranker that learns what to make of it.

        Shape (len(items), len(feature_names)); NaN where there is nothing to know.
        """
        return self.scores(history, items, now)[:, np.newaxis]

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return at most ``n`` items that score above 0, best first, none twice, never padded."""

    def proposed(self, history: History, n: int, now: datetime) -> IntArray:
        """Return items among which are the ``candidates``, in any order, none twice; ``scores`` tells them apart."""
        return self.candidates(history, n, now)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return why ``item`` scores above 0, or None where it does not."""

    def reasons(self, history: History, items: IntArray, now: datetime) -> list[Reason | None]:
        """Return the ``reason`` of each of ``items``."""
        return [self.reason(history, item, now) for item in items.tolist()]

    def arrays(self) -> Arrays:
        """Return what was learned, for a bundle: all attributes but ``config``; ``from_arrays`` restores the scorer."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "config"}  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``arrays`` describe, without copying them.

        ``parts`` holds the scorers that it is composed of, by name; most have none.
        """
        return cls(config, **arrays)  # type: ignore[call-arg]


def interaction_weights(
    history: History, event_weights: NDArray[np.float32], half_life_days: float, now: datetime
) -> NDArray[np.float32]:
    """Return what each interaction weighs at ``now``; shape (len(history),).

    That is the weight of its event type, halved every ``half_life_days`` of age. A return weighs the negative of a
    purchase; a purchase of 0 pieces weighs nothing, nor does a type without a weight. ``event_weights`` is indexed by
    the code of the event type.
    """
    return _weights(
        np.ascontiguousarray(history.event_type),
        np.ascontiguousarray(history.timestamp_s),
        np.ascontiguousarray(history.quantity),
        np.ascontiguousarray(event_weights),
        float(half_life_days),
        now.timestamp(),
    )


@njit((BYTES, LONGS, FLOATS, FLOATS, DOUBLE, DOUBLE), cache=True)
def _weights(event_type, timestamp_s, quantity, event_weights, half_life_days, now_s):  # type: ignore[no-untyped-def]
    found = np.empty(len(event_type), np.float32)
    for row in range(len(event_type)):
        if event_type[row] == PURCHASE:
            sign = np.sign(quantity[row])
        else:
            sign = np.float32(-1) if quantity[row] < 0 else np.float32(1)
        age_days = (now_s - timestamp_s[row]) / DAY_S
        known = event_type[row] < len(event_weights)
        weight = event_weights[event_type[row]] if known else np.float32(0)
        found[row] = weight * sign * 0.5 ** (age_days / half_life_days)
    return found


def of_latest(owner: object, history: History, now: datetime | None, found: Callable[[], Found]) -> Found:
    """Return ``found()``, or what ``owner`` found last, where that was for this very ``history`` at ``now``.

    Candidates and columns are asked for one after the other, of scorers that are otherwise frozen.
    """
    latest = owner.__dict__.get("_latest")
    if latest is None or latest[0] is not history or latest[1] != now:
        latest = owner.__dict__["_latest"] = (history, now, found())
    kept: Found = latest[2]
    return kept


def event_weights(snapshot: Snapshot) -> NDArray[np.float32]:
    """Return what one event of each type weighs by the settings of ``snapshot``, in order of the types' codes."""
    weights = snapshot.manifest.settings.event_weights
    return np.array([weights.get(name, 0.0) for name in snapshot.manifest.event_types], dtype=np.float32)


def best_of_all(scorer: Scorer, n_items: int, history: History, n: int, now: datetime) -> IntArray:
    """Return the ``n`` of all ``n_items`` items to which ``scorer`` gives the highest scores; see ``candidates``."""
    every = np.arange(n_items, dtype=np.int32)
    return best_first(every, scorer.scores(history, every, now), n)


def of_similar_people(scorer: Scorer, history: History, item: int, now: datetime) -> Reason | None:
    """Return the reason of a ``scorer`` that knows people as a whole, and no single item of a history that speaks."""
    if scorer.scores(history, np.array([item], np.int32), now)[0] <= 0:
        return None
    return Reason("similar_people", "Chosen by people with a similar history.")


def best_first(items: IntArray, scores: Scores, n: int) -> IntArray:
    """Return those of ``items`` that score above 0, best first, at most ``n``; ties in the order given."""
    floor = np.partition(scores, len(scores) - n)[len(scores) - n] if n < len(scores) else 0
    kept = np.flatnonzero((scores > 0) & (scores >= floor))
    return items[kept[np.argsort(-scores[kept], kind="stable")][:n]]
