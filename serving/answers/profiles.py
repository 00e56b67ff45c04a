"""What is told of visitors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from features.affinities import AffinityThresholds
from features.errors import NotFound
from features.events import PURCHASE
from features.fields import Scalar
from features.interactions import History
from features.profile_arrays import EVENT_TYPE, ITEM, NEVER, QUANTITY, SECOND, VALUE
from features.profile_store import Person, ProfileStore
from features.profiles import MONEY_STEPS, QUANTITY_STEPS
from features.segments import Segments
from serving.champion import Served
from serving.visitors import values_without_bundle
from serving.wire import profiles as wire

if TYPE_CHECKING:
    from models.affinity import Affinity

RECENT_EVENTS: Final = 20
MOST_BOUGHT: Final = 20
LIKINGS: Final = 12
SHOWN: Final = AffinityThresholds(threshold=0.05, confidence=0.02)
"""A picture shows also what a few clicks suggest; each liking says how sure it is."""


@dataclass(frozen=True, eq=False)
class Deeds:
    """What somebody did with items, oldest first: columns of one length, and the names behind their numbers."""

    item: NDArray[np.int64]
    event_type: NDArray[np.int64]
    second: NDArray[np.int64]
    quantity: NDArray[np.float64]
    value: NDArray[np.float64]
    item_id: Callable[[int], str]
    type_name: Callable[[int], str]

    def bought(self) -> NDArray[np.bool_]:
        """Return which of them are purchases."""
        return (self.event_type == PURCHASE) & (self.quantity > 0)


def profiles(store: ProfileStore, served: Served | None, search: str, limit: int) -> wire.ProfileList:
    """Return the first ``limit`` profiles whose id begins with ``search``, live ones and those of the bundle."""
    ids = set(store.user_ids(search, limit))
    if served is not None:
        users = served.pipeline.bundle.users
        ids.update(map(users.id, users.starting_with(search)[:limit]))
    found = []
    for user_id in sorted(ids, key=str.encode)[:limit]:
        person = store.person(user_id)
        deeds = _deeds(person, store, served, user_id)
        last_s = int(person.profile.span[1]) if person.identities else int(deeds.second[-1])
        found.append(
            wire.ProfileSummary(
                user_id=user_id, purchases=int(np.count_nonzero(deeds.bought())), last_seen=_seen(last_s)
            )
        )
    return wire.ProfileList(profiles=found)


def profile(
    store: ProfileStore, served: Served | None, segments: Segments, user_id: str, now: datetime
) -> wire.Profile:
    """Return what is known of a visitor.

    Raises:
        NotFound: nothing is.
    """
    person = store.person(user_id)
    deeds = _deeds(person, store, served, user_id)
    if not person.identities and not len(deeds.item):
        raise NotFound(f"Nothing is known of the user {user_id!r}.")
    history = History.empty() if served is None else served.visitors.visitor(user_id, now).history
    if person.identities:
        values: Mapping[str, Scalar | None] = person.profile.values(now)
        span, visits = person.profile.span, round(person.profile.visits)
        spend = float(values["lifetime_value"] or 0.0)
    else:
        values, span = {}, deeds.second[[0, -1]]
        visits = len(np.unique(history.session[history.session >= 0]))
        spend = float(deeds.value[deeds.event_type == PURCHASE].sum())
    bought = deeds.bought()
    items, last, count = np.unique(deeds.item[bought][::-1], return_index=True, return_counts=True)
    last_s = deeds.second[bought][::-1][last]
    most = np.lexsort((-last_s, -count))[:MOST_BOUGHT]
    asked = (
        served.visitors.visitor(user_id, now).values
        if served is not None
        else values_without_bundle(person, {}, now, segments)
    )
    return wire.Profile(
        user_id=user_id,
        identities=list(person.identities) or [user_id],
        version=person.version,
        account_id=person.profile.account_id,
        first_seen=_seen(int(span[0])),
        last_seen=_seen(int(span[1])),
        visits=visits,
        purchases=int(np.count_nonzero(bought)),
        spend=round(spend, 2),
        values={name: value for name, value in values.items() if value not in (None, 0)},
        counts=person.profile.names(store.named),
        segments=sorted(segments.of(asked)),
        refused_links=[
            wire.RefusedLink(user_id=link.user_id, same_as=link.same_as, reason=reason)
            for link, reason in (store.refused_links(user_id) if person.identities else {}).items()
        ],
        recent=[_event(served, deeds, row) for row in range(len(deeds.item) - 1, -1, -1)[:RECENT_EVENTS]],
        bought_most=[
            wire.BoughtItem(
                item_id=(item_id := deeds.item_id(int(items[place]))),
                title=_title(served, item_id),
                count=int(count[place]),
                last_at=_moment(int(last_s[place])),
            )
            for place in most
        ],
        affinities=_likings(served, history, now),
    )


def account(store: ProfileStore, account_id: str, now: datetime) -> wire.Account:
    """Return what is known of an organisation.

    Raises:
        NotFound: nobody says that they belong to it.
    """
    found = store.account(account_id)
    if not found.members:
        raise NotFound(f"Nobody is known to belong to the account {account_id!r}.")
    values = found.profile.values(now)
    return wire.Account(
        account_id=account_id,
        members=list(found.members),
        values={name: value for name, value in values.items() if value not in (None, 0)},
        counts=found.profile.names(store.named),
    )


def _likings(served: Served | None, history: History, now: datetime) -> list[wire.Liking]:
    if served is None or "affinity" not in served.pipeline.bundle.scorers:
        return []
    bundle = served.pipeline.bundle
    affinity = cast("Affinity", bundle.scorers["affinity"])
    deeds = _deeds_of_bundle(served, history)
    return [
        wire.Liking(
            dimension=affinity.value_name(like.value)[0],
            value=affinity.value_name(like.value)[1],
            affinity=like.times_usual,
            strength=like.strength,
            confidence=like.confidence,
            events=[_event(served, deeds, row) for row in like.events],
        )
        for like in affinity.likes(history, LIKINGS, now, SHOWN)
    ]


def _deeds(person: Person, store: ProfileStore, served: Served | None, user_id: str) -> Deeds:
    if not person.identities:
        history = History.empty() if served is None else served.pipeline.bundle.history(user_id)
        return _deeds_of_bundle(served, history)
    rows = person.profile.interactions
    type_names = {number: name for name, number in store.type_numbers().items()}
    return Deeds(
        item=rows[:, ITEM],
        event_type=rows[:, EVENT_TYPE],
        second=rows[:, SECOND],
        quantity=rows[:, QUANTITY] / QUANTITY_STEPS,
        value=rows[:, VALUE] / MONEY_STEPS,
        item_id=lambda number: store.item_ids([number])[number],
        type_name=lambda number: type_names.get(number, "other"),
    )


def _deeds_of_bundle(served: Served | None, history: History) -> Deeds:
    return Deeds(
        item=history.item.astype(np.int64),
        event_type=history.event_type.astype(np.int64),
        second=history.timestamp_s,
        quantity=history.quantity.astype(np.float64),
        value=history.value.astype(np.float64),
        item_id=lambda index: "" if served is None else served.pipeline.bundle.items.id(index),
        type_name=lambda code: "" if served is None else served.pipeline.bundle.manifest.event_types[code],
    )


def _event(served: Served | None, deeds: Deeds, row: int) -> wire.HistoryEvent:
    item_id = deeds.item_id(int(deeds.item[row]))
    return wire.HistoryEvent(
        item_id=item_id,
        title=_title(served, item_id),
        event_type=deeds.type_name(int(deeds.event_type[row])),
        timestamp=_moment(int(deeds.second[row])),
        quantity=float(deeds.quantity[row]),
    )


def _title(served: Served | None, item_id: str) -> str | None:
    index = None if served is None else served.pipeline.catalog.find(item_id)
    if served is None or index is None:
        return None
    title: str | None = served.pipeline.catalog.row(index)["title"]
    return title


def _seen(timestamp_s: int) -> datetime | None:
    """Return an end of the ``span`` of a profile; None where nobody was seen, and what is known was said of them."""
    return _moment(timestamp_s) if 0 <= timestamp_s < NEVER else None


def _moment(timestamp_s: int) -> datetime:
    return datetime.fromtimestamp(timestamp_s, UTC)
