"""What every way to score items has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from features.interactions import History, IntArray
from features.settings import Settings

Scores = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]


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

    A scorer is immutable and knows nothing of users: all it learns of one is the history it is given, so an event
    counts from the next request on, and the same object serves, is evaluated, and makes training examples.

    Item indices are those of the snapshot it was fitted on. All methods are deterministic and free of side effects.
    """

    name: ClassVar[str]
    """How recipes, MLflow and the command line call it."""

    config: Settings

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the score of each of ``items``; shape (len(items),), finite, higher is better, 0 for nothing known."""

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return at most ``n`` items that score above 0, best first, none twice, never padded."""

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return why ``item`` scores above 0, or None where it does not."""

    def arrays(self) -> Arrays:
        """Return what was learned, for a bundle; ``from_arrays`` restores the same scorer from it."""

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``arrays`` describe, without copying them.

        ``parts`` holds the scorers that it is composed of, by name; most have none.
        """
