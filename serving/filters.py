"""What removes items from a ranking, and the reason it gives."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from features.compiled import BOOLS, BYTES, DOUBLE, DOUBLES, INTS, LONG, LONGS
from features.errors import InvalidInput
from features.hash_table import empty_slots, place_rows, slot_of
from features.interactions import History, IntArray
from serving.admission import is_among, is_set, refusal
from serving.live_catalog import LiveCatalog
from serving.query import NO_ITEMS

BoolArray = NDArray[np.bool_]
Value = float | str | bool | None
Values = Mapping[str, Value]

MAX_EXPRESSION_LENGTH: Final = 2_000
BITMAPS_KEPT: Final = 256
FUNCTIONS: Final = ("array_contains", "array_length", "abs", "coalesce", "lower", "upper", "length", "starts_with")
"""What a filter expression may call. A list of what is allowed, since one call (``lpad``) could fill the memory."""
_WORDS_BEFORE_A_PARENTHESIS: Final = {
    "and",
    "or",
    "not",
    "in",
    "any",
    "between",
    "like",
    "when",
    "then",
    "else",
    "case",
}
_TEXT: Final = re.compile(r"'(?:[^']|'')*'")
_PLACEHOLDER: Final = re.compile(r"\b(profile|context)\s*\.\s*(\w+(?:\.\w+)?)")
_UNAVAILABLE: Final = (
    "",
    "not in the catalog",
    "hidden",
    "out of stock",
    "not published yet",
    "expired",
)


Asked = tuple[
    BoolArray,
    BoolArray,
    BoolArray,
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int64],
    float,
    IntArray,
    NDArray[np.uint8],
]
"""What rules are for ``admitted``: from ``kept`` to ``bits``."""
NOT_ASKED: Final = np.zeros(0, np.bool_)
NO_BITS: Final = np.zeros(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the items that meet a condition, and says of the others why they do not.

    Attributes:
        reason: Why an item is removed, as the end of the sentence "It is ...".
        keeps: Takes item indices, returns True for each that is kept; same shape.
    """

    reason: str
    keeps: Callable[[IntArray], BoolArray]


class Rules:
    """Everything that removes items from one ranking: what the catalog says at its moment, and ``filters``."""

    def __init__(self, catalog: LiveCatalog, now: datetime, filters: Sequence[Filter]) -> None:
        every = [rule.keeps for rule in filters]
        without = [keeps.ordered for keeps in every if isinstance(keeps, Without)]
        bits = next((keeps for keeps in every if isinstance(keeps, Bitmap)), None)
        self._availability = (
            catalog.in_catalog,
            catalog.visible,
            catalog.stock,
            catalog.published_s,
            catalog.expires_s,
            now.timestamp(),
        )
        self._filters = filters
        self._without = without[0] if len(without) == 1 else np.sort(np.concatenate([NO_ITEMS, *without]))
        self._bits = NO_BITS if bits is None else bits.bits
        self._others = [keeps for keeps in every if keeps is not bits and not isinstance(keeps, Without)]

    def asked(self, items: IntArray) -> Asked:
        """Return what ``admitted`` asks of ``items``."""
        kept = np.logical_and.reduce([keeps(items) for keeps in self._others]) if self._others else NOT_ASKED
        return kept, *self._availability, self._without, self._bits

    def keeps(self, items: IntArray) -> BoolArray:
        """Return which of ``items`` every rule keeps; same shape."""
        kept: BoolArray = _kept(items, *self._availability, self._without, self._bits)
        for keeps in self._others:
            kept &= keeps(items)
        return kept

    def kept(self, items: IntArray) -> IntArray:
        """Return those of ``items`` that every rule keeps, in their order."""
        return items[self.keeps(items)]

    def removed(self, items: IntArray) -> list[tuple[str, IntArray]]:
        """Return each rule's reason with those of ``items`` that it is the first to remove, in their order."""
        unavailable = _refusals(items, *self._availability)
        found = [(reason, items[unavailable == code]) for code, reason in enumerate(_UNAVAILABLE) if code]
        items = items[unavailable == 0]
        for rule in self._filters:
            keeps = rule.keeps(items)
            found.append((rule.reason, items[~keeps]))
            items = items[keeps]
        return found


def listed(reason: str, items: IntArray) -> Filter:
    """Return the filter that removes ``items``."""
    return Filter(reason, Without(np.sort(items)))


def done(reason: str, history: History, event_type: int, since_s: float) -> Filter:
    """Return the filter that removes the items of the interactions of a type since a second."""
    columns = history.item, history.event_type, history.timestamp_s
    return Filter(reason, Without(_done(*map(np.ascontiguousarray, columns), event_type, since_s)))


def priced(catalog: LiveCatalog, anchors: IntArray, window: tuple[float, float]) -> Filter | None:
    """Return the filter that keeps prices within shares of the mean price of ``anchors``; None if that is unknown."""
    known = catalog.price[anchors]
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    low, high = (share * float(known.mean()) for share in window)
    reason = f"not priced from {low:.2f} to {high:.2f}"
    return Filter(reason, lambda items: (catalog.price[items] >= low) & (catalog.price[items] <= high))


@dataclass(frozen=True, slots=True, eq=False)
class Without:
    """Keeps all items but those ``ordered``, which are ascending."""

    ordered: IntArray

    def __call__(self, items: IntArray) -> BoolArray:
        """Return which of ``items`` are not among them; same shape."""
        return _outside(items, self.ordered)


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """Keeps the items that meet an expression: one bit each, of ``n_items`` as of a version of the catalog."""

    bits: NDArray[np.uint8]
    version: int
    n_items: int

    def __call__(self, items: IntArray) -> BoolArray:
        """Return which of ``items`` meet it; same shape."""
        return _set_bits(items, self.bits)


class Expressions:
    """Conditions on items in SQL, such as ``department = 'GROCERY' AND price < 5``.

    The columns are those of the catalog. Any dimension can be asked with ``'red' = ANY(colour)``. One of which every
    item of the bundle has at most one value is a text as well, an item's first value; another is a list. Where a column
    is unknown (NULL) the condition does not hold.
    ``profile.x`` and ``context.x`` stand for what is known of the visitor and of the request, NULL where nothing is.

    An expression without such values that is asked a second time becomes a bitmap of all items, in which a change of
    the catalog changes only the bits of the changed items. Another is evaluated for the items asked about alone.
    """

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog
        every = catalog.rows(None)
        dimensions = [name for name, dtype in every.schema.items() if isinstance(dtype, pl.List)]
        several = every.select((pl.col(dimensions).list.len() > 1).any())
        single = [name for name in dimensions if not several[name].item()]
        self._single = [pl.col(name).list.first() for name in single]
        self._lists = [pl.col(name).alias(_list_of(name)) for name in single]
        self._any = re.compile(rf"\bANY\s*\(\s*({'|'.join(map(re.escape, single)) or '(?!)'})\s*\)", re.IGNORECASE)
        self._bitmaps: OrderedDict[str, Bitmap | None] = OrderedDict()

    def prepare(self, expression: str) -> None:
        """Make ``expression`` ready to be asked.

        Raises:
            InvalidInput: it is not a condition on the columns of the catalog.
        """
        if _PLACEHOLDER.search(_TEXT.sub("''", expression)):
            self._meets(filled(expression, {}), np.zeros(0, np.int32))
        else:
            self._bitmap(expression)

    def keeps(self, expression: str, values: Values) -> Callable[[IntArray], BoolArray]:
        """Return what says of items whether they meet ``expression`` for a visitor of whom ``values`` are known.

        Raises:
            InvalidInput: it is not a condition on the columns of the catalog.
        """
        asked = filled(expression, values)
        if asked == expression:
            if expression in self._bitmaps:
                return self._bitmap(expression)
            self._remember(expression, None)
        self._meets(asked, np.zeros(0, np.int32))
        return lambda items: self._meets(asked, items)

    def _bitmap(self, expression: str) -> Bitmap:
        catalog, bitmap = self._catalog, self._bitmaps.get(expression)
        n_items = len(catalog.in_catalog)
        if bitmap is None or bitmap.version != catalog.version or bitmap.n_items != n_items:
            version = catalog.version
            changed = None if bitmap is None else catalog.changed_since(bitmap.version)
            if bitmap is None or changed is None:
                bits = np.packbits(self._meets(expression, None), bitorder="little")
            else:
                bits = np.zeros((n_items + 7) // 8, np.uint8)
                bits[: len(bitmap.bits)] = bitmap.bits
                _change_bits(changed, self._meets(expression, changed), bits)
            bitmap = Bitmap(bits, version, n_items)
        self._remember(expression, bitmap)
        return bitmap

    def _remember(self, expression: str, bitmap: Bitmap | None) -> None:
        self._bitmaps[expression] = bitmap
        self._bitmaps.move_to_end(expression)
        if len(self._bitmaps) > BITMAPS_KEPT:
            self._bitmaps.popitem(last=False)

    def _meets(self, expression: str, items: IntArray | None) -> BoolArray:
        """Return which of ``items``, or of all, meet ``expression``, in which no value is left open."""
        if len(expression) > MAX_EXPRESSION_LENGTH:
            raise InvalidInput(f"The filter has {len(expression)} characters; {MAX_EXPRESSION_LENGTH} are allowed.")
        _refuse_foreign_calls(expression)
        known = self._catalog.rows(items).drop("in_catalog", "visible")
        rows = known.with_columns(self._single)
        asked = _outside_of_texts(expression, lambda part: self._any.sub(lambda one: f"ANY({_list_of(one[1])})", part))
        try:
            result = rows.with_columns(known.select(self._lists)).select(pl.sql_expr(asked)).to_series()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, LookupError) as error:
            problem = str(error).splitlines()[0].partition("; valid columns")[0] if str(error) else type(error).__name__
            raise InvalidInput(
                f"The filter {expression!r} cannot be used: {problem}. "
                f"Columns: {', '.join(known.columns)}. Example: price < 5 AND title LIKE 'A%'."
            ) from None
        if result.dtype == pl.Null and "NULL" in expression:
            return np.zeros(len(rows), np.bool_)  # a comparison with a value that is not known
        if result.dtype != pl.Boolean or len(result) != len(rows):
            raise InvalidInput(f"The filter {expression!r} does not say yes or no for each item. Example: price < 5.")
        return result.fill_null(False).to_numpy()


def filled(expression: str, values: Values) -> str:
    """Return ``expression`` with ``profile.x`` and ``context.x`` replaced by literals of ``values``.

    ``values`` has the names ``x`` of what is known of the profile, and ``context.x`` of the request's context.
    """
    if "profile" not in expression and "context" not in expression:
        return expression
    return _outside_of_texts(expression, lambda part: _PLACEHOLDER.sub(lambda one: _literal(one, values), part))


def _outside_of_texts(expression: str, changed: Callable[[str], str]) -> str:
    """Return ``expression`` with ``changed`` applied to whatever stands between its texts."""
    texts = _TEXT.findall(expression)
    return "".join(changed(part) + text for part, text in zip(_TEXT.split(expression), [*texts, ""], strict=True))


def _list_of(dimension: str) -> str:
    return f"list_of_{dimension}"


def _literal(found: re.Match[str], values: Values) -> str:
    owner, name = found.groups()
    value = values.get(name if owner == "profile" else f"context.{name}")
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    number = repr(int(value) if isinstance(value, int) else float(value))  # numpy's own floats are written differently
    return number if value >= 0 else f"({number})"


def _refuse_foreign_calls(expression: str) -> None:
    outside_of_text = _TEXT.sub("''", expression)
    called = re.findall(r"([\w\"`]+)\s*\(", outside_of_text)
    words = re.findall(r"\w+", outside_of_text.lower())
    foreign = [name for name in called if name.lower() not in {*FUNCTIONS, *_WORDS_BEFORE_A_PARENTHESIS}]
    if foreign or "select" in words or "over" in words:
        what = f"calls {foreign[0]}" if foreign else "asks other tables or rows"
        raise InvalidInput(f"The filter {expression!r} {what}. It may call: {', '.join(FUNCTIONS)}.")


@njit((INTS, BOOLS, BOOLS, DOUBLES, LONGS, LONGS, DOUBLE), cache=True)
def _refusals(items, in_catalog, visible, stock, published_s, expires_s, now_s):  # type: ignore[no-untyped-def]
    codes = np.empty(len(items), np.uint8)
    for k in range(len(items)):
        codes[k] = refusal(items[k], in_catalog, visible, stock, published_s, expires_s, now_s)
    return codes


@njit((INTS, BOOLS, BOOLS, DOUBLES, LONGS, LONGS, DOUBLE, INTS, BYTES), cache=True)
def _kept(items, in_catalog, visible, stock, published_s, expires_s, now_s, without, bits):  # type: ignore[no-untyped-def]
    """Return which of ``items`` may be shown, are not among those ``without`` and have their bit, where there are any.

    Often many are asked about, so those without are looked up in a table and not searched for.
    """
    slots = empty_slots(len(without))
    place_rows(slots, without, len(without))
    kept = np.empty(len(items), np.bool_)
    for k in range(len(items)):
        item = items[k]
        kept[k] = (
            slots[slot_of(slots, without, item)] == 0
            and refusal(item, in_catalog, visible, stock, published_s, expires_s, now_s) == 0
            and (len(bits) == 0 or is_set(item, bits))
        )
    return kept


@njit((INTS, BYTES, LONGS, LONG, DOUBLE), cache=True)
def _done(item, event_type, timestamp_s, asked_type, since_s):  # type: ignore[no-untyped-def]
    """Return the items of the interactions of a type since a second, ascending."""
    found = np.empty(len(item), np.int32)
    n = 0
    for row in range(len(item)):
        if event_type[row] == asked_type and timestamp_s[row] >= since_s:
            found[n] = item[row]
            n += 1
    return np.sort(found[:n])


@njit((INTS, INTS), cache=True)
def _outside(items, ordered):  # type: ignore[no-untyped-def]
    outside = np.empty(len(items), np.bool_)
    for k in range(len(items)):
        outside[k] = not is_among(items[k], ordered)
    return outside


@njit((INTS, BYTES), cache=True)
def _set_bits(items, bits):  # type: ignore[no-untyped-def]
    found = np.empty(len(items), np.bool_)
    for k in range(len(items)):
        found[k] = is_set(items[k], bits)
    return found


def _change_bits(items: IntArray, meets: BoolArray, bits: NDArray[np.uint8]) -> None:
    for item, met in zip(items.tolist(), meets.tolist(), strict=True):
        mask = 1 << (item & 7)
        bits[item >> 3] = bits[item >> 3] | mask if met else bits[item >> 3] & ~mask & 0xFF
