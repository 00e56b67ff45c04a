"""Events as browsers and servers send them: read, completed, and checked one by one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from features.errors import InvalidInput
from features.events import Event, InvalidEvent, parse
from features.fields import as_json

MAX_EVENTS: Final = 1_000
"""How many events one request may bring."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a request brought.

    Attributes:
        events: The good ones, in order.
        rejected: The bad ones, in order: their places in the request from 0 on, and what is wrong.
        single: Whether the request was one event, and not a list of them.
    """

    events: list[Event]
    rejected: list[tuple[int, InvalidEvent]]
    single: bool


def delivery(body: bytes, now: datetime, new_id: Callable[[], str]) -> Delivery:
    """Return the events in ``body``: one as an object, several as an array or as ``{"events": [...]}``.

    An event without ``timestamp`` happened at ``now``. One without ``event_id`` gets one: derived from what it says
    where that includes a timestamp, so that sending it again repeats it, and a new one otherwise. Equal events of one
    request are different ones.

    Raises:
        InvalidInput: it is not JSON, not of this form, or more than ``MAX_EVENTS``.
    """
    records, single = _records(body)
    if len(records) > MAX_EVENTS:
        raise InvalidInput(
            f"The request brings {len(records):,} events; {MAX_EVENTS:,} are allowed. Send several requests."
        )
    events: list[Event] = []
    rejected: list[tuple[int, InvalidEvent]] = []
    copies: Counter[str] = Counter()
    for index, record in enumerate(records):
        try:
            events.append(parse(_complete(record, now, new_id, copies), now))
        except InvalidEvent as error:
            rejected.append((index, error))
    return Delivery(events, rejected, single)


def read_json(body: bytes) -> Any:
    """Return what ``body`` says.

    Raises:
        InvalidInput: it is not JSON.
    """
    try:
        return json.loads(body)
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from None


def _records(body: bytes) -> tuple[list[Any], bool]:
    given = read_json(body)
    if isinstance(given, list):
        return given, False
    if not isinstance(given, dict):
        raise InvalidInput("The body must be an event, an array of events, or an object with the array 'events'.")
    if "events" not in given:
        return [given], True
    if given.keys() != {"events"} or not isinstance(given["events"], list):
        raise InvalidInput("An object with 'events' has nothing but that, an array.")
    return given["events"], False


def _complete(record: Any, now: datetime, new_id: Callable[[], str], copies: Counter[str]) -> Any:
    """Return ``record`` with the fields that it may leave out."""
    if not isinstance(record, dict):
        return record
    if record.get("timestamp") is None:
        event_id = record.get("event_id")
        record = {**record, "timestamp": now, "event_id": new_id() if event_id is None else event_id}
    elif record.get("event_id") is None:
        content = _digest(record)
        copies[content] += 1
        record = {**record, "event_id": content if copies[content] == 1 else f"{content}-{copies[content]}"}
    return record


def _digest(record: Mapping[str, Any]) -> str:
    said = as_json({name: value for name, value in record.items() if value is not None})
    return blake2b(said.encode(errors="surrogatepass"), digest_size=16).hexdigest()
