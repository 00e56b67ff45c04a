"""What expressions may ask about a visitor, by flat names; worked out when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from features.counters import ITEM_VIEWS, MONEY, PIECES, PURCHASES, RETURNS
from features.events import PURCHASE, STANDARD_EVENT_TYPES
from features.fields import Scalar
from features.interactions import DAY_S
from features.profile_arrays import EVENT_TYPE, MONEY_STEPS, QUANTITY, QUANTITY_STEPS, SECOND

if TYPE_CHECKING:
    from features.profiles import Profile

Value = Scalar | None


class ProfileValues(Mapping[str, Value]):
    """The values of a profile at a moment, None where something is not known.

    ``visits``, ``visits_1d``, ``visits_7d``, ``visits_30d``, ``active_minutes``, ``page_views``, ``item_views``,
    ``purchases``, ``returns``, ``pieces_bought``, ``lifetime_value``, ``average_price`` (paid for a piece),
    ``cart_items`` (pieces), ``cart_value``, ``days_since_first_seen``, ``days_since_last_seen``,
    ``days_since_purchase``, ``emails_sent``, ``emails_opened``, ``emails_clicked``, ``pushes_sent``,
    ``pushes_opened``, ``pushes_clicked``, ``pushes_dismissed``, ``last_search``, ``events.TYPE`` (how many) for each
    standard event type, and ``attributes.NAME`` for what ``identify`` events told.
    """

    def __init__(self, profile: Profile, now: datetime) -> None:
        self._profile = profile
        self._now_s = int(now.timestamp())

    def __getitem__(self, name: str) -> Value:
        ask = _VALUES.get(name)
        if ask is not None:
            return ask(self._profile, self._now_s)
        prefix, _, attribute = name.partition(".")
        if prefix == "attributes":
            return self._profile.attributes[attribute]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from _VALUES
        for name in self._profile.attributes:
            yield f"attributes.{name}"

    def __len__(self) -> int:
        return len(_VALUES) + len(self._profile.attributes)


def _days_since(profile: Profile, now_s: int, which: int) -> float | None:
    return (now_s - int(profile.span[which])) / DAY_S if profile.span[1] >= 0 else None


def _average_price(profile: Profile, now_s: int) -> float | None:
    pieces = profile.count(PIECES) / QUANTITY_STEPS
    return profile.count(MONEY) / MONEY_STEPS / pieces if pieces > 0 else None


def _days_since_purchase(profile: Profile, now_s: int) -> float | None:
    rows = profile.interactions
    bought = np.flatnonzero((rows[:, EVENT_TYPE] == PURCHASE) & (rows[:, QUANTITY] > 0))
    return (now_s - int(rows[bought[-1], SECOND])) / DAY_S if len(bought) else None


def _last_search(profile: Profile, now_s: int) -> str | None:
    return profile.texts.searches[-1][1] if profile.texts.searches else None


def _count(key: int, per_unit: int = 1) -> Callable[[Profile, int], Value]:
    return lambda profile, now_s: profile.count(key) / per_unit if per_unit > 1 else profile.count(key)


def _visits(days: int) -> Callable[[Profile, int], Value]:
    return lambda profile, now_s: profile.visits_since(now_s - days * DAY_S)


def _events(event_type: str) -> Callable[[Profile, int], Value]:
    return _count(STANDARD_EVENT_TYPES.index(event_type))


_VALUES: Final[dict[str, Callable[[Profile, int], Value]]] = {
    "visits": lambda profile, now_s: profile.visits,
    "visits_1d": _visits(1),
    "visits_7d": _visits(7),
    "visits_30d": _visits(30),
    "active_minutes": lambda profile, now_s: profile.active_s / 60,
    "page_views": _events("view"),
    "item_views": _count(ITEM_VIEWS),
    "purchases": _count(PURCHASES),
    "returns": _count(RETURNS),
    "pieces_bought": _count(PIECES, QUANTITY_STEPS),
    "lifetime_value": _count(MONEY, MONEY_STEPS),
    "average_price": _average_price,
    "cart_items": lambda profile, now_s: sum(pieces for pieces, _ in profile.cart().values()),
    "cart_value": lambda profile, now_s: sum(money for _, money in profile.cart().values()),
    "days_since_first_seen": lambda profile, now_s: _days_since(profile, now_s, 0),
    "days_since_last_seen": lambda profile, now_s: _days_since(profile, now_s, 1),
    "days_since_purchase": _days_since_purchase,
    "emails_sent": _events("email_sent"),
    "emails_opened": _events("email_open"),
    "emails_clicked": _events("email_click"),
    "pushes_sent": _events("push_sent"),
    "pushes_opened": _events("push_open"),
    "pushes_clicked": _events("push_click"),
    "pushes_dismissed": _events("push_dismiss"),
    "last_search": _last_search,
    **{f"events.{name}": _count(code) for code, name in enumerate(STANDARD_EVENT_TYPES)},
}
NAMES: Final = tuple(_VALUES)
"""The names that every profile has."""
