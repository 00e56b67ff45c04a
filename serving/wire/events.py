"""Events."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from features.events import DEFAULTS, FIELDS, STANDARD_EVENT_TYPES
from features.fields import NAME
from serving.ingestion import MAX_EVENTS
from serving.wire.messages import Answer


class RejectedEvent(Answer):
    """An event of the request that was not taken."""

    index: int = Field(description="Its place in the request, from 0 on.")
    field: str = Field(description="The field at fault; empty where it is the whole event.")
    reason: str = Field(description="What is allowed there.")


class EventsAnswer(Answer):
    """What became of the events of a request."""

    accepted: int = Field(description="New events: they survive a crash, and the next ranking knows of them.")
    repeated: int = Field(description="Events that were known already by their event_id: nothing changed.")
    rejected: list[RejectedEvent]
    profile_version: int | None = Field(
        default=None,
        description="Profiles that have this version, or a greater one, hold the new events; none where none is new.",
    )


_ID = {"type": "string", "minLength": 1, "maxLength": 128}
_DESCRIBED: Final[dict[str, dict[str, Any]]] = {
    "event_id": {
        **_ID,
        "description": "Names the event; a repeat of it changes nothing. Left out, it is derived from what the event "
        "says where that includes a timestamp, so that sending it again is a repeat.",
    },
    "event_type": {
        "type": "string",
        "pattern": f"^{NAME}$",
        "maxLength": 64,
        "examples": ["view"],
        "description": f"One of {', '.join(STANDARD_EVENT_TYPES)}, or your own.",
    },
    "user_id": {**_ID, "examples": ["visitor-1"], "description": "The id under which the visitor is known."},
    "timestamp": {
        "type": "string",
        "format": "date-time",
        "description": "When it happened, with its offset from UTC; the moment of arrival where left out.",
    },
    "item_id": {**_ID, "description": "The item it happened to."},
    "quantity": {
        "type": "number",
        "minimum": -1e12,
        "maximum": 1e12,
        "default": 1.0,
        "description": "Pieces; negative for a return.",
    },
    "value": {"type": "number", "minimum": -1e12, "maximum": 1e12, "description": "Money for all pieces together."},
    "session_id": {**_ID, "description": "The visit or the basket it belongs to."},
    "ranking_id": {**_ID, "description": "The ranking in which the item was shown."},
    "decision_id": {**_ID, "description": "The decision that it comes of."},
    "same_as": {**_ID, "description": "Another id of the same person, in an identify event."},
    "context": {
        "type": "object",
        "maxProperties": 32,
        "description": "Where and how: at most 32 named texts, numbers and flags. Attune understands those below; in "
        "an identify event the others are attributes of the person.",
        "properties": {
            "channel": {"type": "string", "examples": ["web"]},
            "source": {"type": "string", "examples": ["newsletter"]},
            "campaign": {"type": "string"},
            "referrer": {"type": "string"},
            "device": {"type": "string", "examples": ["phone"]},
            "browser": {"type": "string", "examples": ["firefox"]},
            "page_type": {"type": "string", "examples": ["product"]},
            "country": {"type": "string", "examples": ["DE"]},
            "local_time": {"type": "string", "examples": ["2026-11-21T21:30:00+01:00"]},
            "consent": {"type": "boolean"},
            "query": {"type": "string", "description": "What a search event searched for."},
        },
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Event",
    "required": ["event_type", "user_id"],
    "additionalProperties": False,
    "properties": {
        name: {**_DESCRIBED[name], **({"default": DEFAULTS[name]} if name in DEFAULTS else {})} for name in FIELDS
    },
}
_EVENTS: Final[dict[str, Any]] = {"type": "array", "maxItems": MAX_EVENTS, "items": _EVENT}
_BODY: Final[dict[str, Any]] = {
    "schema": {
        "oneOf": [
            _EVENT,
            _EVENTS,
            {
                "type": "object",
                "required": ["events"],
                "additionalProperties": False,
                "properties": {"events": _EVENTS},
            },
        ]
    }
}
EVENTS_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": _BODY, "text/plain": _BODY}}
}
"""The body of ``POST /v1/events`` in OpenAPI: the route reads it itself, for speed and to keep the good of a batch."""
