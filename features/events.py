"""One thing that happened, and what is allowed to be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from features.errors import InvalidField
from features.fields import NAME, Attributes, Field, Number, Rejected, Text, Time

STANDARD_EVENT_TYPES: Final = (
    "view",
    "add_to_cart",
    "remove_from_cart",
    "purchase",
    "search",
    "impression",
    "click",
    "dismiss",
    "favorite",
    "share",
    "review",
    "email_sent",
    "email_open",
    "email_click",
    "push_sent",
    "push_open",
    "unsubscribe",
    "push_click",
    "push_dismiss",
    "identify",
    "unidentify",
)
"""The event types that Attune knows; a shop may send others, named in the same way. New ones come last, for bundles and
profiles know them by their places."""
PURCHASE: Final = STANDARD_EVENT_TYPES.index("purchase")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        event_id: Names the event; a repeat of it changes nothing.
        event_type: One of ``STANDARD_EVENT_TYPES`` or a shop's own (lower case, digits and ``_``).
        user_id: The id under which the visitor is known.
        timestamp: When it happened, aware UTC.
        item_id: The item it happened to, if any.
        quantity: Pieces; negative for a return or a cancellation.
        value: Money for all pieces together, in the shop's currency; negative for money given back.
        session_id: The visit or the basket it belongs to.
        ranking_id: The ranking in which the item was shown.
        decision_id: The decision that it comes of.
        same_as: In an ``identify`` event, another id of the same person, the one that is known better (that of their
            account with the shop); an ``unidentify`` event takes it back.
        context: Channel, device, store, page type ...; in an ``identify`` event what is known of the person.
    """

    event_id: str
    event_type: str
    user_id: str
    timestamp: datetime
    item_id: str | None = None
    quantity: float = 1.0
    value: float | None = None
    session_id: str | None = None
    ranking_id: str | None = None
    decision_id: str | None = None
    same_as: str | None = None
    context: dict[str, str | float | bool] = field(default_factory=dict)


FIELDS: Final[dict[str, Field[Any]]] = {
    "event_id": Text(),
    "event_type": Text(64, NAME),
    "user_id": Text(),
    "timestamp": Time(),
    "item_id": Text(),
    "quantity": Number(),
    "value": Number(),
    "session_id": Text(),
    "ranking_id": Text(),
    "decision_id": Text(),
    "same_as": Text(),
    "context": Attributes(),
}
"""What each field of an event may hold; requests and files are checked by these same rules."""

REQUIRED: Final = ("event_id", "event_type", "user_id", "timestamp")
"""The fields that an event must have; a file may leave out ``event_id``, which is then derived from the others."""

DEFAULTS: Final[dict[str, Any]] = {"quantity": 1.0, "context": {}}
"""What a field holds that is not given."""

MISSING: Final = "is required"
MAX_AHEAD: Final = timedelta(hours=1)
"""How far an event may lie in the future: clocks differ."""
AHEAD: Final = f"must not be more than {MAX_AHEAD.seconds // 3600} hour in the future"


class InvalidEvent(InvalidField):
    """An event is not what is allowed."""

    record = "event"


def parse(record: Mapping[str, Any], now: datetime) -> Event:
    """Return the event that ``record`` describes; ``None`` counts as not given.

    A timestamp must carry its offset from UTC: without one nobody knows which moment is meant.

    Raises:
        InvalidEvent: a field is unknown, missing, of the wrong type or out of range.
    """
    if not isinstance(record, Mapping):
        raise InvalidEvent("", "must be an object", record)
    for name in record:
        if name not in FIELDS:
            raise InvalidEvent(str(name), f"is not known; allowed are {', '.join(FIELDS)}", record[name])
    values: dict[str, Any] = {}
    for name, kind in FIELDS.items():
        given = record.get(name)
        if given is None:
            if name in REQUIRED:
                raise InvalidEvent(name, MISSING, given)
            continue
        try:
            values[name] = kind.value(given)
        except Rejected as rejected:
            raise InvalidEvent(name, str(rejected), given) from None
    if values["timestamp"] > now + MAX_AHEAD:
        raise InvalidEvent("timestamp", AHEAD, record["timestamp"])
    return Event(**values)
