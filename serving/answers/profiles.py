"""What is told of visitors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from features.errors import NotFound
from features.interactions import History
from models.bundle import Bundle
from models.scorer import PURCHASE
from serving.answers.items import title_of
from serving.filters import BoolArray
from serving.wire import profiles as wire

if TYPE_CHECKING:
    from models.affinity import Affinity

RECENT_EVENTS: Final = 20
MOST_BOUGHT: Final = 20
LIKINGS: Final = 12


def profiles(bundle: Bundle, search: str, limit: int) -> wire.ProfileList:
    """Return the first ``limit`` profiles whose id begins with ``search``."""
    found = []
    for user in bundle.users.starting_with(search)[:limit]:
        history = bundle.interactions.of(user)
        found.append(
            wire.ProfileSummary(
                user_id=bundle.users.id(user),
                purchases=int(np.count_nonzero(_bought(history))),
                last_seen=_moment(history.timestamp_s[-1]),
            )
        )
    return wire.ProfileList(profiles=found)


def profile(bundle: Bundle, user_id: str, now: datetime) -> wire.Profile:
    """Return what is known of a visitor.

    Raises:
        NotFound: nothing is.
    """
    history = bundle.history(user_id)
    if not len(history):
        raise NotFound(f"Nothing is known of the user {user_id!r}.")
    bought = _bought(history)
    items, last, count = np.unique(history.item[bought][::-1], return_index=True, return_counts=True)
    last_s = history.timestamp_s[bought][::-1][last]
    most = np.lexsort((-last_s, -count))[:MOST_BOUGHT]
    affinity = cast("Affinity | None", bundle.scorers.get("affinity"))
    return wire.Profile(
        user_id=user_id,
        first_seen=_moment(history.timestamp_s[0]),
        last_seen=_moment(history.timestamp_s[-1]),
        visits=len(np.unique(history.session[history.session >= 0])),
        purchases=int(np.count_nonzero(bought)),
        spend=round(float(history.value[history.event_type == PURCHASE].sum(dtype=np.float64)), 2),
        recent=[
            _event(bundle, history, row)
            for row in range(len(history) - 1, max(-1, len(history) - 1 - RECENT_EVENTS), -1)
        ],
        bought_most=[
            wire.BoughtItem(
                item_id=bundle.items.id(items[place]),
                title=title_of(bundle, items[place]),
                count=int(count[place]),
                last_at=_moment(last_s[place]),
            )
            for place in most
        ],
        affinities=[
            wire.Liking(
                dimension=affinity.value_name(like.value)[0],
                value=affinity.value_name(like.value)[1],
                affinity=like.times_usual,
                strength=like.strength,
                confidence=like.confidence,
                events=[_event(bundle, history, row) for row in like.events],
            )
            for like in affinity.likes(history, LIKINGS, now)
        ]
        if affinity
        else [],
    )


def _event(bundle: Bundle, history: History, row: int) -> wire.HistoryEvent:
    return wire.HistoryEvent(
        item_id=bundle.items.id(history.item[row]),
        title=title_of(bundle, history.item[row]),
        event_type=bundle.manifest.event_types[history.event_type[row]],
        timestamp=_moment(history.timestamp_s[row]),
        quantity=float(history.quantity[row]),
    )


def _bought(history: History) -> BoolArray:
    return (history.event_type == PURCHASE) & (history.quantity > 0)


def _moment(timestamp_s: int) -> datetime:
    return datetime.fromtimestamp(int(timestamp_s), UTC)
