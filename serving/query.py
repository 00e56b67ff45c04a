"""What somebody wants to see ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from features.events import STANDARD_EVENT_TYPES
from features.interactions import COLUMNS, History, IntArray

NO_ITEMS: Final = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A request for a ranking, in item indices.

    Attributes:
        history: What the profile did so far.
        now: The moment of the request, aware UTC.
        n: The most items to return.
        recipe: Name of the recipe.
        context: Items on the page: they count as viewed at ``now``, and are not returned.
        exclude: Items not to return.
        only: The items to rank, best guess first; None for the whole catalog.
        filter: A SQL condition that every returned item meets, such as ``price < 5``; see ``Expressions``.
        values: What filters and boosters may ask of the visitor by name, and as ``context.x`` of the request.
        seed: What chance is drawn from where a recipe shuffles or explores; None leaves nothing to chance.
    """

    history: History
    now: datetime
    n: int = 10
    recipe: str = "for_you"
    context: IntArray = field(default_factory=lambda: NO_ITEMS)
    exclude: IntArray = field(default_factory=lambda: NO_ITEMS)
    only: IntArray | None = None
    filter: str | None = None
    values: Mapping[str, float | str | bool | None] = field(default_factory=dict)
    seed: int | None = None

    def history_with_context(self) -> History:
        """Return the history, with the items of the context viewed at ``now``."""
        if not len(self.context):
            return self.history
        now_viewed = events(self.context, "view", self.now)
        return History(*(np.concatenate([getattr(self.history, name), getattr(now_viewed, name)]) for name in COLUMNS))


def events(items: IntArray, event_type: str, timestamp: datetime) -> History:
    """Return the history of somebody who did ``event_type`` with one piece of each of ``items`` at ``timestamp``."""
    n = len(items)
    return History(
        item=np.asarray(items, np.int32),
        event_type=np.full(n, STANDARD_EVENT_TYPES.index(event_type), np.uint8),
        timestamp_s=np.full(n, int(timestamp.timestamp()), np.int64),
        quantity=np.full(n, event_type == "purchase", np.float32),
        value=np.zeros(n, np.float32),
        session=np.full(n, -1, np.int32),
    )
