"""The arithmetic of profiles: folding events, adding, and the compact bytes of the store; all of it compiled.

A profile's numbers are four arrays of int64. Each is kept in the order of its rows, each row once (interactions: as
often as it happened), so equal profiles are equal arrays and equal bytes, whatever the order in which events came:

    span          (2,)    first and last second seen; (NEVER, -1) where nobody was
    counts        (n, 2)  what is counted (features/counters.py), how much; never 0
    sessions      (n, 3)  hash of the visit, its first and its last second
    interactions  (n, 6)  second, hash of the session (0: unknown), item number, event type, quantity, value

Quantities are in steps of 1/1,000 and money in steps of 1/10,000, so that sums are exact.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from features.compiled import BYTES, INTS, LONG_ROWS, LONGS
from features.counters import FIRST_HOUR, FIRST_NAME, FIRST_WEEKDAY, ITEM_VIEWS, MONEY, PIECES, PURCHASES, RETURNS
from features.events import PURCHASE, STANDARD_EVENT_TYPES
from features.interactions import DAY_S

QUANTITY_STEPS: Final = 1_000
MONEY_STEPS: Final = 10_000
NEVER: Final = 2**62
SESSIONS: Final = 128
"""So many visits are known one by one, those of the smallest hashes; with more, a profile estimates their number.
Which ones depends on nothing but their hashes, so adding stays associative (Bar-Yossef et al. 2002, bottom-k)."""
NAMES: Final = 64
"""So many sources, devices, pages ... are counted for one profile, those of the smallest hashes for the same reason."""
HASHES: Final = 2**31
"""Hashes are from 1 to one less than this."""

SECOND, SESSION, ITEM, EVENT_TYPE, QUANTITY, VALUE = range(6)
WEEKDAY, HOUR, FIRST_KEY = 6, 7, 8
"""Columns of the events to fold: those of an interaction (item -1 where there is none), weekday and hour where the
visitor is, and then counters to add 1 to (0: none)."""

VIEW, IMPRESSION = map(STANDARD_EVENT_TYPES.index, ("view", "impression"))
_NO_VISIT: Final = np.zeros(128, np.bool_)
for name in (
    *("email_sent", "email_open", "email_click", "unsubscribe", "push_sent", "push_open", "push_click", "push_dismiss"),
    *("identify", "unidentify"),
):
    _NO_VISIT[STANDARD_EVENT_TYPES.index(name)] = True


@njit
def _set(target, n, source, m):  # type: ignore[no-untyped-def]
    """Make row ``n`` of ``target`` row ``m`` of ``source``; assigning it as a slice takes seconds to compile."""
    for column in range(target.shape[1]):
        target[n, column] = source[m, column]


@njit
def _priority(key):  # type: ignore[no-untyped-def]
    """Return a number that orders names by chance, the same everywhere; no two names have the same."""
    mixed = (key * 2654435761) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    return (mixed * 2246822519) & 0xFFFFFFFF


@njit
def _fewest_names(counts):  # type: ignore[no-untyped-def]
    first = len(counts)
    while first > 0 and counts[first - 1, 0] >= FIRST_NAME:
        first -= 1
    if len(counts) - first <= NAMES:
        return counts.copy()
    priorities = np.empty(len(counts) - first, np.int64)
    for at in range(first, len(counts)):
        priorities[at - first] = _priority(counts[at, 0])
    last = np.sort(priorities)[NAMES - 1]
    kept = np.empty((first + NAMES, 2), np.int64)
    n = 0
    for at in range(len(counts)):
        if at < first or priorities[at - first] <= last:
            _set(kept, n, counts, at)
            n += 1
    return kept


@njit((LONG_ROWS,), cache=True)
def folded(events):  # type: ignore[no-untyped-def]
    """Return the four arrays of one visitor's ``events``, which are in order of their rows."""
    n = len(events)
    span = np.array([NEVER, -1])
    fixed = np.zeros(FIRST_NAME, np.int64)
    names = np.empty(n * (events.shape[1] - FIRST_KEY), np.int64)
    visits = np.empty(n, np.int64)
    kept = np.empty((n, 6), np.int64)
    n_names = n_visits = n_kept = 0
    for at in range(n):
        row = events[at]
        second, kind = row[SECOND], row[EVENT_TYPE]
        fixed[kind] += 1
        for column in range(FIRST_KEY, len(row)):
            if row[column] > 0:
                names[n_names] = row[column]
                n_names += 1
        if not _NO_VISIT[kind]:
            span[0], span[1] = min(span[0], second), max(span[1], second)
            fixed[FIRST_WEEKDAY + row[WEEKDAY]] += 1
            fixed[FIRST_HOUR + row[HOUR]] += 1
            # where nothing tells visits apart, those of one day are one
            session = row[SESSION] if row[SESSION] else 1 + (second // DAY_S * 2654435761) % (HASHES - 1)
            visits[n_visits] = session << 32 | second
            n_visits += 1
        if kind == VIEW and row[ITEM] >= 0:
            fixed[ITEM_VIEWS] += 1
        if kind == PURCHASE:
            fixed[MONEY] += row[VALUE]
            fixed[PIECES] += row[QUANTITY]
            fixed[PURCHASES if row[QUANTITY] >= 0 else RETURNS] += 1
        if row[ITEM] >= 0 and kind != IMPRESSION:  # impressions would push out what tells more
            _set(kept, n_kept, events, at)
            n_kept += 1

    counts = np.empty((FIRST_NAME + n_names, 2), np.int64)
    n_counts = 0
    for key in range(FIRST_NAME):
        if fixed[key] != 0:
            counts[n_counts, 0], counts[n_counts, 1] = key, fixed[key]
            n_counts += 1
    for key in np.sort(names[:n_names]):
        if n_counts and counts[n_counts - 1, 0] == key:
            counts[n_counts - 1, 1] += 1
        else:
            counts[n_counts, 0], counts[n_counts, 1] = key, 1
            n_counts += 1

    sessions = np.empty((n_visits, 3), np.int64)
    n_sessions = 0
    for visit in np.sort(visits[:n_visits]):
        session, second = visit >> 32, visit & 0xFFFFFFFF
        if n_sessions and sessions[n_sessions - 1, 0] == session:
            sessions[n_sessions - 1, 2] = second
        else:
            sessions[n_sessions, 0], sessions[n_sessions, 1], sessions[n_sessions, 2] = session, second, second
            n_sessions += 1
    return span, _fewest_names(counts[:n_counts]), sessions[: min(n_sessions, SESSIONS)].copy(), kept[:n_kept].copy()


@njit
def _order(a, b, width):  # type: ignore[no-untyped-def]
    """Return -1, 0 or 1: how the first ``width`` numbers of two rows compare."""
    for column in range(width):
        if a[column] != b[column]:
            return -1 if a[column] < b[column] else 1
    return 0


@njit((LONGS, LONG_ROWS, LONG_ROWS, LONG_ROWS, LONGS, LONG_ROWS, LONG_ROWS, LONG_ROWS), cache=True)
def added(span_a, counts_a, sessions_a, kept_a, span_b, counts_b, sessions_b, kept_b):  # type: ignore[no-untyped-def]
    """Return the four arrays of the sum of two profiles."""
    span = np.array([min(span_a[0], span_b[0]), max(span_a[1], span_b[1])])

    counts = np.empty((len(counts_a) + len(counts_b), 2), np.int64)
    n = i = j = 0
    while i < len(counts_a) or j < len(counts_b):
        order = -1 if j == len(counts_b) else 1 if i == len(counts_a) else _order(counts_a[i], counts_b[j], 1)
        if order <= 0:
            _set(counts, n, counts_a, i)
        else:
            _set(counts, n, counts_b, j)
        if order == 0:
            counts[n, 1] += counts_b[j, 1]
        i, j = i + (order <= 0), j + (order >= 0)
        n += counts[n, 1] != 0
    counts = _fewest_names(counts[:n])

    sessions = np.empty((min(len(sessions_a) + len(sessions_b), SESSIONS), 3), np.int64)
    n = i = j = 0
    while n < len(sessions) and (i < len(sessions_a) or j < len(sessions_b)):
        order = -1 if j == len(sessions_b) else 1 if i == len(sessions_a) else _order(sessions_a[i], sessions_b[j], 1)
        if order <= 0:
            _set(sessions, n, sessions_a, i)
        else:
            _set(sessions, n, sessions_b, j)
        if order == 0:
            sessions[n, 1] = min(sessions_a[i, 1], sessions_b[j, 1])
            sessions[n, 2] = max(sessions_a[i, 2], sessions_b[j, 2])
        i, j, n = i + (order <= 0), j + (order >= 0), n + 1
    sessions = sessions[:n].copy()

    kept = np.empty((len(kept_a) + len(kept_b), 6), np.int64)
    i = j = 0
    for n in range(len(kept)):
        if j == len(kept_b) or (i < len(kept_a) and _order(kept_a[i], kept_b[j], 6) <= 0):
            _set(kept, n, kept_a, i)
            i += 1
        else:
            _set(kept, n, kept_b, j)
            j += 1
    return span, counts, sessions, kept


@njit
def _put(buffer, at, number):  # type: ignore[no-untyped-def]
    """Write ``number``, 0 or more, 7 bits to a byte; return the place behind it."""
    while number >= 128:
        buffer[at] = number & 127 | 128
        number >>= 7
        at += 1
    buffer[at] = number
    return at + 1


@njit
def _get(buffer, at):  # type: ignore[no-untyped-def]
    number = np.int64(0)
    shift = 0
    while buffer[at] >= 128:
        number |= np.int64(buffer[at] & 127) << shift
        shift += 7
        at += 1
    return number | np.int64(buffer[at]) << shift, at + 1


@njit
def _signed(number):  # type: ignore[no-untyped-def]
    """Return a number of 0 or more for any: 0, -1, 1, -2 ... become 0, 1, 2, 3 ..."""
    return number << 1 ^ number >> 63


@njit
def _unsigned(number):  # type: ignore[no-untyped-def]
    return number >> 1 ^ -(number & 1)


SAME_TYPE, SAME_SESSION, ONE_PIECE, NO_VALUE, WHOLE_CENTS, WHOLE_PIECES = 1, 2, 4, 8, 16, 32


@njit((LONGS, LONG_ROWS, LONG_ROWS, LONG_ROWS), cache=True)
def encoded(span, counts, sessions, kept):  # type: ignore[no-untyped-def]
    """Return the arrays as bytes, uint8; each number as what it differs by from its predecessor where that is less."""
    buffer = np.empty(64 + 15 * len(counts) + 25 * len(sessions) + 60 * len(kept), np.uint8)
    at = _put(buffer, 0, span[1] + 1)
    if span[1] >= 0:
        at = _put(buffer, at, span[1] - span[0])
    at = _put(buffer, at, len(counts))
    last = 0
    for row in counts:
        at = _put(buffer, at, row[0] - last)
        at = _put(buffer, at, _signed(row[1]))
        last = row[0]
    at = _put(buffer, at, len(sessions))
    last = 0
    for row in sessions:
        at = _put(buffer, at, row[0] - last)
        at = _put(buffer, at, span[1] - row[1])
        at = _put(buffer, at, row[2] - row[1])
        last = row[0]
    at = _put(buffer, at, len(kept))
    before = np.zeros(6, np.int64)
    for row in kept:
        value, quantity = row[VALUE], row[QUANTITY]
        flags = 0
        flags |= SAME_TYPE if row[EVENT_TYPE] == before[EVENT_TYPE] else 0
        flags |= SAME_SESSION if row[SESSION] == before[SESSION] else 0
        flags |= ONE_PIECE if quantity == 1000 else 0
        flags |= NO_VALUE if value == 0 else 0
        flags |= WHOLE_CENTS if value % 100 == 0 else 0
        flags |= WHOLE_PIECES if quantity % 1000 == 0 else 0
        buffer[at] = flags
        at = _put(buffer, at + 1, row[SECOND] - before[SECOND])
        at = _put(buffer, at, row[ITEM])
        if not flags & SAME_TYPE:
            at = _put(buffer, at, row[EVENT_TYPE])
        if not flags & SAME_SESSION:
            place = np.searchsorted(sessions[:, 0], row[SESSION])
            if place < len(sessions) and sessions[place, 0] == row[SESSION]:
                at = _put(buffer, at, place + 1)
            else:
                at = _put(buffer, at, 0)
                at = _put(buffer, at, row[SESSION])
        if not flags & ONE_PIECE:
            at = _put(buffer, at, _signed(quantity // 1000 if flags & WHOLE_PIECES else quantity))
        if not flags & NO_VALUE:
            at = _put(buffer, at, _signed(value // 100 if flags & WHOLE_CENTS else value))
        for column in range(6):
            before[column] = row[column]
    return buffer[:at].copy()


@njit((BYTES,), cache=True)
def decoded(buffer):  # type: ignore[no-untyped-def]
    """Return the four arrays that ``encoded`` wrote, and the place behind them."""
    last_second, at = _get(buffer, 0)
    span = np.array([NEVER, last_second - 1])
    if last_second:
        length, at = _get(buffer, at)
        span[0] = span[1] - length
    n, at = _get(buffer, at)
    counts = np.empty((n, 2), np.int64)
    last = np.int64(0)
    for row in range(n):
        gap, at = _get(buffer, at)
        count, at = _get(buffer, at)
        last += gap
        counts[row, 0], counts[row, 1] = last, _unsigned(count)
    n, at = _get(buffer, at)
    sessions = np.empty((n, 3), np.int64)
    last = np.int64(0)
    for row in range(n):
        gap, at = _get(buffer, at)
        ago, at = _get(buffer, at)
        length, at = _get(buffer, at)
        last += gap
        sessions[row, 0], sessions[row, 1], sessions[row, 2] = last, span[1] - ago, span[1] - ago + length
    n, at = _get(buffer, at)
    kept = np.empty((n, 6), np.int64)
    second = session = kind = np.int64(0)
    for row in range(n):
        flags = buffer[at]
        gap, at = _get(buffer, at + 1)
        item, at = _get(buffer, at)
        second += gap
        if not flags & SAME_TYPE:
            kind, at = _get(buffer, at)
        if not flags & SAME_SESSION:
            place, at = _get(buffer, at)
            if place:
                session = sessions[place - 1, 0]
            else:
                session, at = _get(buffer, at)
        quantity, value = np.int64(1000), np.int64(0)
        if not flags & ONE_PIECE:
            quantity, at = _get(buffer, at)
            quantity = _unsigned(quantity) * (1000 if flags & WHOLE_PIECES else 1)
        if not flags & NO_VALUE:
            value, at = _get(buffer, at)
            value = _unsigned(value) * (100 if flags & WHOLE_CENTS else 1)
        kept[row, 0], kept[row, 1], kept[row, 2] = second, session, item
        kept[row, 3], kept[row, 4], kept[row, 5] = kind, quantity, value
    return span, counts, sessions, kept, at


@njit((LONG_ROWS, INTS, BYTES), cache=True)
def history_columns(kept, index_of_number, code_of_type):  # type: ignore[no-untyped-def]
    """Return the columns of a ``History``: the interactions whose item has an index and whose type has a code."""
    item = np.empty(len(kept), np.int32)
    kind = np.empty(len(kept), np.uint8)
    second = np.empty(len(kept), np.int64)
    quantity = np.empty(len(kept), np.float32)
    value = np.empty(len(kept), np.float32)
    session = np.empty(len(kept), np.int32)
    n = 0
    for row in kept:
        if row[ITEM] >= len(index_of_number) or index_of_number[row[ITEM]] < 0 or code_of_type[row[EVENT_TYPE]] == 255:
            continue
        item[n] = index_of_number[row[ITEM]]
        kind[n] = code_of_type[row[EVENT_TYPE]]
        second[n] = row[SECOND]
        quantity[n] = row[QUANTITY] / 1000
        value[n] = row[VALUE] / 10000
        session[n] = row[SESSION] if row[SESSION] else -1
        n += 1
    return item[:n], kind[:n], second[:n], quantity[:n], value[:n], session[:n]
