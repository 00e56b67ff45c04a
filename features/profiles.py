"""Who somebody is, as far as events tell: a sum of what each event adds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from features import profile_arrays as arrays
from features.counters import (
    FIRST_HOUR,
    FIRST_NAME,
    FIRST_WEEKDAY,
    NAMED,
)
from features.errors import Corrupt
from features.events import PURCHASE, STANDARD_EVENT_TYPES, Event
from features.fields import Scalar, microseconds
from features.interactions import DAY_S, History, IntArray
from features.profile_arrays import MONEY_STEPS, QUANTITY_STEPS
from features.profile_values import ProfileValues

FORMAT: Final = 1
SEARCHES: Final = 10
"""So many searches are remembered, the last ones."""
ATTRIBUTES: Final = 64
"""So many attributes are remembered, those of the names that come first."""
TEXT_LENGTH: Final = 64
"""Names in contexts and what was searched for are cut to so many characters."""

Rows = NDArray[np.int64]

CODES: Final = np.full(128, 255, np.uint8)
"""The code of each event type's number in a ``History``: its own for a standard type; 255 leaves a shop's own out."""
CODES[: len(STANDARD_EVENT_TYPES)] = np.arange(len(STANDARD_EVENT_TYPES))


class Numbers(Protocol):
    """Gives numbers to what profiles hold by number, for good."""

    def item(self, item_id: str) -> int:
        """Return the number of an item."""

    def event_type(self, name: str) -> int:
        """Return the number of an event type; see ``features/counters.py``."""

    def named(self, field: str, name: str) -> int:
        """Return the number of ``name`` in a ``field`` of the context, ``FIRST_NAME`` or more."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The part of a profile that is not numbers.

    Attributes:
        attributes: What ``identify`` events said of the visitor: name to (microseconds since 1970, value). Of several
            values of a name the latest holds, of equally late ones the greatest as JSON.
        searches: (second, text) of the last ``SEARCHES``, in order.
    """

    attributes: Mapping[str, tuple[int, Scalar]] = field(default_factory=dict)
    searches: tuple[tuple[int, str], ...] = ()

    def __add__(self, other: Texts) -> Texts:
        both = dict(self.attributes)
        for name, (when_us, value) in other.attributes.items():
            if name not in both or _later((when_us, value), both[name]):
                both[name] = when_us, value
        attributes = {name: both[name] for name in sorted(both)[:ATTRIBUTES]}
        return Texts(attributes, tuple(sorted((*self.searches, *other.searches))[-SEARCHES:]))

    def to_bytes(self) -> bytes:
        """Return JSON; nothing for nothing."""
        if not self.attributes and not self.searches:
            return b""
        attributes = {name: self.attributes[name] for name in sorted(self.attributes)}
        return json.dumps([attributes, self.searches], ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> Texts:
        """Return what ``to_bytes`` wrote."""
        if not text:
            return cls()
        attributes, searches = json.loads(text)
        return cls(
            {name: (when_us, value) for name, (when_us, value) in attributes.items()},
            tuple((second, search) for second, search in searches),
        )


@dataclass(frozen=True, eq=False)
class Profile:
    """What is known of one identity, or of several added together; immutable.

    A commutative monoid: ``a + b == b + a``, ``(a + b) + c == a + (b + c)``, ``a + Profile.empty() == a``, exactly. So
    the profile of some events is the same in whatever order and grouping they come, and those of a person's identities,
    or of an account's members, are added when they are asked for.

    Attributes:
        span: First and last second seen; see ``features/profile_arrays.py`` for this and the next three.
        counts: What was done how often, and how much was bought; shape (n, 2).
        sessions: Visits; shape (n, 3).
        interactions: Events with an item, impressions left out, oldest first; shape (n, 6).
        text: ``Texts`` as bytes.
    """

    span: Rows
    counts: Rows
    sessions: Rows
    interactions: Rows
    text: bytes = b""

    @classmethod
    def empty(cls) -> Self:
        """Return the profile of somebody of whom nothing is known."""
        counts, sessions, interactions = (np.zeros((0, width), np.int64) for width in (2, 3, 6))
        return cls(np.array([arrays.NEVER, -1]), counts, sessions, interactions)

    @classmethod
    def of(cls, event: Event, numbers: Numbers) -> Profile:
        """Return what one event tells."""
        return _folded([event], numbers)

    @classmethod
    def of_rows(cls, rows: Rows, text: bytes = b"") -> Self:
        """Return what the events of one visitor tell; ``rows`` as ``event_row`` gives them, in their order."""
        span, counts, sessions, interactions = arrays.folded(rows)
        return cls(span, counts, sessions, interactions, text)

    def __add__(self, other: Profile) -> Self:
        if not other.text or not self.text:
            text = self.text or other.text
        else:
            text = (Texts.from_bytes(self.text) + Texts.from_bytes(other.text)).to_bytes()
        span, counts, sessions, interactions = arrays.added(
            *(self.span, self.counts, self.sessions, self.interactions),
            *(other.span, other.counts, other.sessions, other.interactions),
        )
        return type(self)(span, counts, sessions, interactions, text)

    @classmethod
    def total(cls, profiles: Iterable[Profile]) -> Profile:
        """Return the sum of ``profiles``."""
        return sum(profiles, cls.empty())

    def last(self, n: int) -> Profile:
        """Return the profile with its last ``n`` interactions alone: ``(a + b).last(n) == (a.last(n) + b).last(n)``."""
        if len(self.interactions) <= n:
            return self
        return Profile(
            self.span, self.counts, self.sessions, self.interactions[-n:] if n else self.interactions[:0], self.text
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the profile for the store: equal bytes for equal profiles."""
        numbers = arrays.encoded(self.span, self.counts, self.sessions, self.interactions)
        return bytes((FORMAT,)) + numbers.tobytes() + self.text

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Return the profile that ``to_bytes`` wrote.

        Raises:
            Corrupt: a newer version wrote it.
        """
        if stored[0] != FORMAT:
            raise Corrupt(f"A profile has format {stored[0]}; this version reads {FORMAT}. Update Attune.")
        span, counts, sessions, interactions, end = arrays.decoded(np.frombuffer(stored, np.uint8, offset=1))
        return cls(span, counts, sessions, interactions, stored[1 + end :])

    def history(self, index_of_number: IntArray, code_of_type: NDArray[np.uint8] = CODES) -> History:
        """Return the interactions for a scorer; those with an item that has no index there are left out.

        ``index_of_number`` gives the index of each item number, or -1; ``code_of_type`` the code of each event type's
        number in the bundle, or 255.
        """
        return History(*arrays.history_columns(self.interactions, index_of_number, code_of_type))

    @cached_property
    def texts(self) -> Texts:
        """Attributes and searches."""
        return Texts.from_bytes(self.text)

    @property
    def attributes(self) -> dict[str, Scalar]:
        """What is known of the visitor beyond what they did: persona, buyer status, company ..."""
        return {name: value for name, (_, value) in self.texts.attributes.items()}

    @property
    def account_id(self) -> str | None:
        """The organisation that the visitor belongs to: the attribute ``account_id``."""
        account = self.attributes.get("account_id") if self.text else None
        return None if account is None else str(account)

    def count(self, key: int) -> int:
        """Return what one of ``features/counters.py`` stands at."""
        return self._counted.get(key, 0)

    @cached_property
    def _counted(self) -> dict[int, int]:
        return dict(self.counts.tolist())

    @property
    def visits(self) -> float:
        """How many visits there were: exact up to 128, an estimate with 9 % standard error beyond (Bar-Yossef 2002)."""
        n = len(self.sessions)
        return n if n < arrays.SESSIONS else (n - 1) * arrays.HASHES / float(self.sessions[-1, 0])

    @property
    def active_s(self) -> float:
        """Seconds between the first and the last event of each visit, all visits together."""
        n = len(self.sessions)
        return float((self.sessions[:, 2] - self.sessions[:, 1]).sum()) * self.visits / n if n else 0.0

    def visits_since(self, second: int) -> int:
        """Return how many visits had begun or went on at ``second`` or later; of many visits, those with an item."""
        recent = self.interactions[np.searchsorted(self.interactions[:, 0], second) :, arrays.SESSION]
        known = self.sessions[self.sessions[:, 2] >= second, 0]
        return len(set(known.tolist()) | set(recent[recent > 0].tolist()))

    def cart(self) -> dict[int, tuple[float, float]]:
        """Return what is in the cart: item number to pieces and money for them.

        What was added less what was removed; what is bought leaves the cart.
        """
        types = self.interactions[:, arrays.EVENT_TYPE]
        if not (types == _ADD).any():
            return {}
        cart: dict[int, tuple[float, float]] = {}
        for _, _, item, kind, quantity, value in self.interactions[np.isin(types, _CART)].tolist():
            pieces, money = cart.get(item, (0.0, 0.0))
            moved = quantity / QUANTITY_STEPS
            if kind == _ADD:
                cart[item] = pieces + moved, money + value / MONEY_STEPS
            elif kind == PURCHASE or pieces <= max(moved, 0.0):
                cart.pop(item, None)
            else:
                cart[item] = pieces - moved, money * (1 - moved / pieces)
        return {item: held for item, held in cart.items() if held[0] > 0}

    def values(self, now: datetime) -> ProfileValues:
        """Return what expressions may ask, by flat names, as of ``now``."""
        return ProfileValues(self, now)

    def weekdays(self) -> list[int]:
        """Return how many events there were on each day of the week, Monday first, where the visitor is."""
        return [self.count(FIRST_WEEKDAY + day) for day in range(7)]

    def hours(self) -> list[int]:
        """Return how many events there were in each hour of the day, where the visitor is."""
        return [self.count(FIRST_HOUR + hour) for hour in range(24)]

    def names(self, named: Callable[[int], tuple[str, str]]) -> dict[str, dict[str, int]]:
        """Return how often each source, campaign, device ... occurred, most often first.

        ``named`` gives the field and the name that a number stands for.
        """
        found: dict[str, dict[str, int]] = {}
        for key, count in sorted(self._counted.items(), key=lambda one: (-one[1], one[0])):
            if key >= FIRST_NAME:
                where, name = named(key)
                found.setdefault(where, {})[name] = count
        return found


_ADD: Final = STANDARD_EVENT_TYPES.index("add_to_cart")
_CART: Final = [_ADD, STANDARD_EVENT_TYPES.index("remove_from_cart"), PURCHASE]


def event_row(event: Event, numbers: Numbers) -> list[int]:
    """Return ``event`` as numbers; columns as in ``features/profile_arrays.py``."""
    second = int(event.timestamp.timestamp())
    weekday, hour, *names = context_row(event.context, numbers)
    return [
        second,
        session_hash(event.session_id),
        -1 if event.item_id is None else numbers.item(event.item_id),
        numbers.event_type(event.event_type),
        round(event.quantity * QUANTITY_STEPS),
        round((event.value or 0.0) * MONEY_STEPS),
        weekday_of(second) if weekday < 0 else weekday,
        hour_of(second) if hour < 0 else hour,
        *names,
    ]


def context_row(context: Mapping[str, Scalar], numbers: Numbers) -> list[int]:
    """Return weekday and hour where the visitor is, -1 where the context does not tell, and the names it brings."""
    local = None
    if "local_time" in context:
        with suppress(ValueError):
            local = datetime.fromisoformat(str(context["local_time"]))
    return [
        -1 if local is None else local.weekday(),
        -1 if local is None else local.hour,
        *(numbers.named(name, str(context[name])[:TEXT_LENGTH]) if name in context else 0 for name in NAMED),
    ]


def weekday_of(second: Any) -> Any:
    """Return the day of the week (UTC) of seconds since 1970, Monday 0."""
    return (second // DAY_S + 3) % 7  # 1970 began on a Thursday


def hour_of(second: Any) -> Any:
    """Return the hour of the day (UTC) of seconds since 1970."""
    return second // 3600 % 24


def texts_of(event_type: str, timestamp_us: int, context: Mapping[str, Scalar]) -> Texts:
    """Return what an event tells in words."""
    if event_type == "identify":
        said = {name: (timestamp_us, value) for name, value in context.items() if name not in CONTEXT}
        return Texts({name: said[name] for name in sorted(said)[:ATTRIBUTES]})
    if event_type == "search" and "query" in context:
        return Texts(searches=((timestamp_us // 1_000_000, str(context["query"])[:TEXT_LENGTH]),))
    return Texts()


WORDED: Final = ("identify", "search")
"""The event types that tell something in words."""
CONTEXT: Final = frozenset((*NAMED, "referrer", "local_time", "consent", "query"))
"""What the context of an ``identify`` event says of the request and not of the person."""


def folded(events: Iterable[Event], numbers: Numbers) -> dict[str, Profile]:
    """Return what ``events`` tell of each ``user_id`` that they name."""
    by_user: dict[str, list[Event]] = {}
    for event in events:
        by_user.setdefault(event.user_id, []).append(event)
    return {user_id: _folded(theirs, numbers) for user_id, theirs in by_user.items()}


def _folded(events: Sequence[Event], numbers: Numbers) -> Profile:
    rows = np.array(sorted(event_row(event, numbers) for event in events), np.int64)
    worded = [event for event in events if event.event_type in WORDED and event.context]
    texts = sum((texts_of(one.event_type, microseconds(one.timestamp), one.context) for one in worded), Texts())
    return Profile.of_rows(rows, texts.to_bytes())


def session_hash(session_id: str | None) -> int:
    """Return a number from 1 to 2**31 - 1 that stands for a visit, the same everywhere; 0 for none."""
    if session_id is None:
        return 0
    return 1 + int.from_bytes(blake2b(session_id.encode(), digest_size=4).digest()) % (arrays.HASHES - 1)


def _later(one: tuple[int, Any], other: tuple[int, Any]) -> bool:
    if one[0] != other[0]:
        return one[0] > other[0]
    return json.dumps(one[1]) > json.dumps(other[1])
