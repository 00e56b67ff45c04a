"""One thing that happened, and what is allowed to be said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

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
)
"""The event types that Attune knows; a shop may send others, named in the same way."""


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
        context: Channel, device, store, page type ...
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
    context: dict[str, str | float | bool] = field(default_factory=dict)
