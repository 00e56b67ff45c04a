"""A small blend beside a large one, for requests that must not wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from pydantic import PositiveInt

from features.interactions import History, IntArray
from features.settings import Settings
from models.blend import Blend, BlendSettings
from models.scorer import Arrays, Features, Scorer, of_latest


class DistilledSettings(BlendSettings):
    """How a small blend is made."""

    recent_interactions: PositiveInt = 50
    """How many interactions of a history are looked at, the last ones."""


@dataclass(frozen=True)
class Distilled(Blend):
    """Scores like the blend that is served beside it, by few of its parts, candidates, trees and interactions."""

    name: ClassVar[str] = "distilled"

    config: DistilledSettings

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the columns of all parts, side by side, as the last interactions alone tell them."""
        return super().features(self._recent(history), items, now)

    def proposed(self, history: History, n: int, now: datetime) -> IntArray:
        """Return what the parts propose for the last interactions, whatever ``n``; ascending."""
        return super().proposed(self._recent(history), n, now)

    @classmethod
    def from_arrays(cls, config: Settings, arrays: Arrays, parts: Mapping[str, Scorer]) -> Self:
        """Return the scorer that ``arrays`` and ``parts`` describe."""
        config = DistilledSettings.model_validate(config)
        return cls(config, {name: parts[name] for name in config.candidates}, arrays["model"])

    def _recent(self, history: History) -> History:
        start = len(history) - self.config.recent_interactions
        # The very same for candidates and columns, for parts remember what they found for it.
        return of_latest(self, history, None, lambda: history[start:]) if start > 0 else history
