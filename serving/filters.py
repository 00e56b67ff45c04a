"""What removes items from a ranking, and the reason it gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import InvalidInput
from features.interactions import IntArray

BoolArray = NDArray[np.bool_]

MAX_EXPRESSION_LENGTH: Final = 2_000
EXPRESSIONS_KEPT: Final = 256
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


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the items that meet a condition, and says of the others why they do not.

    Attributes:
        reason: Why an item is removed, as the end of the sentence "It is ...".
        keeps: Takes item indices, returns True for each that is kept; same shape.
    """

    reason: str
    keeps: Callable[[IntArray], BoolArray]


def kept(items: IntArray, filters: Sequence[Filter]) -> IntArray:
    """Return those of ``items`` that every filter keeps, in their order."""
    for rule in filters:
        items = items[rule.keeps(items)]
    return items


def removed(items: IntArray, filters: Sequence[Filter]) -> list[tuple[str, IntArray]]:
    """Return each filter's reason with those of ``items`` that it is the first to remove, in their order."""
    found = []
    for rule in filters:
        keeps = rule.keeps(items)
        found.append((rule.reason, items[~keeps]))
        items = items[keeps]
    return found


def listed(reason: str, items: IntArray, n_items: int) -> Filter:
    """Return the filter that removes ``items``."""
    keep = np.ones(n_items, np.bool_)
    keep[items] = False
    return Filter(reason, lambda asked: keep[asked])


class Availability:
    """Which items of a catalog may be shown at a moment; ``catalog`` as in ``Snapshot.catalog``."""

    def __init__(self, catalog: pl.DataFrame) -> None:
        in_catalog = catalog["in_catalog"].fill_null(False).to_numpy()
        visible = catalog["visible"].fill_null(True).to_numpy()
        in_stock = (catalog["stock"].fill_null(1) > 0).to_numpy()
        self._always = [
            Filter("not in the catalog", lambda items: in_catalog[items]),
            Filter("hidden", lambda items: visible[items]),
            Filter("out of stock", lambda items: in_stock[items]),
        ]
        self.published_s = _seconds(catalog["published_at"], np.iinfo(np.int64).min)
        self._expires_s = _seconds(catalog["expires_at"], np.iinfo(np.int64).max)

    def filters(self, now: datetime) -> list[Filter]:
        """Return what keeps the items in the catalog, visible, in stock, published and not expired at ``now``."""
        now_s = now.timestamp()
        return [
            *self._always,
            Filter("not published yet", lambda items: self.published_s[items] <= now_s),
            Filter("expired", lambda items: self._expires_s[items] > now_s),
        ]


class Expressions:
    """Conditions on items in SQL, such as ``department = 'GROCERY' AND price < 5``, evaluated once per catalog.

    The columns are those of the catalog. A dimension of which every item has at most one value is text; another is a
    list, and is asked with ``'red' = ANY(colour)``. Where a column is unknown (NULL) the condition does not hold.
    """

    def __init__(self, catalog: pl.DataFrame) -> None:
        dimensions = [name for name, dtype in catalog.schema.items() if isinstance(dtype, pl.List)]
        several = catalog.select((pl.col(dimensions).list.len() > 1).any())
        single = [pl.col(name).list.first() for name in dimensions if not several[name].item()]
        self._items = catalog.drop("in_catalog", "visible").with_columns(single)
        self._meets = lru_cache(EXPRESSIONS_KEPT)(self._evaluate)

    def meets(self, expression: str) -> BoolArray:
        """Return which items meet ``expression``; shape (items,).

        Raises:
            InvalidInput: it is not a condition on the columns of the catalog.
        """
        return self._meets(expression)

    def _evaluate(self, expression: str) -> BoolArray:
        if len(expression) > MAX_EXPRESSION_LENGTH:
            raise InvalidInput(f"The filter has {len(expression)} characters; {MAX_EXPRESSION_LENGTH} are allowed.")
        _refuse_foreign_calls(expression)
        try:
            result = self._items.select(pl.sql_expr(expression)).to_series()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, LookupError) as error:
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InvalidInput(
                f"The filter {expression!r} cannot be used: {problem}. "
                f"Columns: {', '.join(self._items.columns)}. Example: price < 5 AND title LIKE 'A%'."
            ) from None
        if result.dtype != pl.Boolean or len(result) != len(self._items):
            raise InvalidInput(f"The filter {expression!r} does not say yes or no for each item. Example: price < 5.")
        return result.fill_null(False).to_numpy()


def _refuse_foreign_calls(expression: str) -> None:
    outside_of_text = re.sub(r"'(?:[^']|'')*'", "''", expression)
    called = re.findall(r"([\w\"`]+)\s*\(", outside_of_text)
    words = re.findall(r"\w+", outside_of_text.lower())
    foreign = [name for name in called if name.lower() not in {*FUNCTIONS, *_WORDS_BEFORE_A_PARENTHESIS}]
    if foreign or "select" in words or "over" in words:
        what = f"calls {foreign[0]}" if foreign else "asks other tables or rows"
        raise InvalidInput(f"The filter {expression!r} {what}. It may call: {', '.join(FUNCTIONS)}.")


def _seconds(times: pl.Series, unknown: int) -> NDArray[np.int64]:
    return times.dt.epoch("s").fill_null(unknown).to_numpy()
