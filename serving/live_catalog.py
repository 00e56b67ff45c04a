"""The items that may be shown at this moment: those of a bundle as the catalog has them now, and those added since."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalog import FIELDS, Catalog, Change
from features.fields import EPOCH
from features.interactions import IntArray
from models.bundle import Bundle

ALWAYS_S: Final = np.iinfo(np.int64).min
"""The time of publication of what was never not published."""
NEVER_S: Final = np.iinfo(np.int64).max
"""The time of expiry of what does not expire."""

PORTION: Final = 2_000
"""So many changes are read at once."""
FEW: Final = 1_000
PART: Final = 64
"""Once more than ``FEW`` items and one in ``PART`` have changed, they become columns, which take far less memory."""
CHANGES_KEPT: Final = 100_000
"""How many of the latest changes ``changed_since`` knows."""

_COLUMNS: Final = ("price", "list_price", "stock", "visible", "in_catalog", "published_s", "expires_s")


class LiveCatalog:
    """The item space of a bundle, brought up to date.

    Indices below ``bundle_size`` are the bundle's; no scorer knows the others, which are of items added since. Each
    column has one value for each index. Columns are replaced when items are added, so take them from here for each
    request. Only one thread at a time may use it.

    Attributes:
        bundle_size: How many items the bundle has.
        version: The last change of the catalog that was taken in; rises with every change.
        price: float64, NaN where unknown.
        list_price: float64, NaN where unknown.
        stock: float64, NaN where unlimited.
        visible: bool.
        in_catalog: bool; False for what only events name, and for what was deleted.
        published_s: int64, seconds since 1970; ``ALWAYS_S`` where unknown.
        expires_s: int64, seconds since 1970; ``NEVER_S`` where it does not expire.
    """

    price: NDArray[np.float64]
    list_price: NDArray[np.float64]
    stock: NDArray[np.float64]
    visible: NDArray[np.bool_]
    in_catalog: NDArray[np.bool_]
    published_s: NDArray[np.int64]
    expires_s: NDArray[np.int64]

    def __init__(self, bundle: Bundle, catalog: Catalog | None = None, version: int | None = None) -> None:
        """Take in what has changed since the bundle was made; without a ``catalog`` the bundle's own stays.

        With ``version``, it is as of then, and remains so.
        """
        self._bundle = bundle
        self._catalog = catalog
        self._stamp: int | None = None
        self.bundle_size = len(bundle.items)
        self.version = self._first_version = 0
        self._ids: list[str] = []
        self._added: dict[str, int] = {}
        self._frame = bundle.catalog
        self._rows: dict[int, dict[str, Any]] = {}  # what has changed since the frame
        self._changed, self._changed_at = array("i"), array("q")
        self._latest: IntArray | None = None
        frame = bundle.catalog
        self._arrays: dict[str, NDArray[Any]] = {
            **{name: _numbers(frame[name]) for name in ("price", "list_price", "stock")},
            "visible": frame["visible"].fill_null(True).to_numpy().copy(),
            "in_catalog": frame["in_catalog"].fill_null(False).to_numpy().copy(),
            "published_s": _seconds(frame["published_at"], ALWAYS_S),
            "expires_s": _seconds(frame["expires_at"], NEVER_S),
        }
        self._show_arrays()
        if catalog is not None:
            name, _, known = bundle.manifest.catalog_version.rpartition(":")
            if name == catalog.name:
                self.version = self._first_version = int(known)
            self.refresh()
            if version is not None:
                self._take(catalog.as_of(version))
                self.version, self._catalog = version, None

    def refresh(self, stamp: int | None = None) -> bool:
        """Take in what any process has changed in the catalog since; return whether there was something.

        As long as ``stamp``, see ``Assembly.stamp``, stays the same, nobody has written and nothing is looked up.
        """
        if self._catalog is None or (stamp is not None and stamp == self._stamp):
            return False
        self._stamp = stamp
        before = self.version
        while changes := self._catalog.changes(self.version, PORTION):
            self._take(changes)
            self.version = changes[-1].version
        return self.version > before

    def changed_since(self, version: int) -> IntArray | None:
        """Return the items that changed after ``version``, each once, or None where that is no longer known."""
        if version < self._first_version:
            return None
        return np.unique(np.array(self._changed[bisect_right(self._changed_at, version) :], np.int32))

    @property
    def latest(self) -> IntArray:
        """All items, the latest published first; those without a date last."""
        if self._latest is None:
            self._latest = np.argsort(-self.published_s.astype(np.float64), kind="stable").astype(np.int32)
        return self._latest

    def __len__(self) -> int:
        """Return how many items there are, those included that may not be shown."""
        return self.bundle_size + len(self._ids)

    def find(self, item_id: str) -> int | None:
        """Return the index of an item, or None where it is unknown."""
        added = self._added.get(item_id)
        return self._bundle.items.find(item_id) if added is None else added

    def indices(self, item_ids: Iterable[str]) -> IntArray:
        """Return the index of each of ``item_ids``, -1 where it is unknown; shape (n,)."""
        return np.array([-1 if (found := self.find(one)) is None else found for one in item_ids], dtype=np.int32)

    def id(self, index: int) -> str:
        """Return the id of the item ``index``."""
        added = int(index) - self.bundle_size
        return self._bundle.items.id(index) if added < 0 else self._ids[added]

    def row(self, index: int) -> Mapping[str, Any]:
        """Return the fields of an item, ``in_catalog``, and its dimensions, each a list of text."""
        return self._rows.get(int(index)) or self._frame.row(int(index), named=True)

    def rows(self, items: IntArray | None) -> pl.DataFrame:
        """Return the columns of the catalog for ``items``, or for all, in order; see ``Snapshot.catalog``."""
        if items is None:
            self._make_columns()
            return self._frame
        frame = self._frame
        changed = [place for place, index in enumerate(items.tolist()) if index in self._rows] if self._rows else []
        if not changed:
            return frame[items]
        same = np.setdiff1d(np.arange(len(items)), changed)
        places = np.empty(len(items), np.int64)
        places[same], places[changed] = np.arange(len(same)), len(same) + np.arange(len(changed))
        rows = [self._rows[int(items[place])] for place in changed]
        return pl.concat([frame[items[same]], pl.DataFrame(rows, schema=frame.schema)])[places]

    def _make_columns(self) -> None:
        """Put what has changed since the frame into its columns; those that stay as they were are not copied."""
        if not self._rows:
            return
        frame, n_before = self._frame, len(self._frame)
        changed = np.array(sorted(self._rows), np.int64)  # all that are behind the frame among them
        rows = pl.DataFrame([self._rows[index] for index in changed.tolist()], schema=frame.schema)
        before = frame[changed[changed < n_before]]
        places = np.arange(len(self))
        places[changed] = n_before + np.arange(len(changed))
        columns = []
        for name in frame.columns:  # one at a time: all at once would take several times the memory of the frame
            same = len(self) == n_before and rows[name].equals(before[name])
            columns.append(frame[name] if same else pl.concat([frame[name], rows[name]])[places].rechunk())
        self._frame, self._rows = pl.DataFrame(columns), {}

    def _take(self, changes: Iterable[Change]) -> None:
        for change in changes:
            index = self.find(change.item_id)
            if index is None and change.row is None:
                continue  # came and went unseen
            if index is None:
                index = self._add(change.item_id)
            if change.row is None:
                self._arrays["in_catalog"][index] = False
                self._rows[index] = {**self.row(index), "in_catalog": False}
            else:
                self._set(index, change.row)
            self._changed.append(index)
            self._changed_at.append(change.version)
        if len(self._rows) > max(FEW, len(self) // PART):
            self._make_columns()
        if len(self._changed) > 2 * CHANGES_KEPT:
            self._first_version = self._changed_at[-CHANGES_KEPT]
            del self._changed[:-CHANGES_KEPT], self._changed_at[:-CHANGES_KEPT]
        self._show_arrays()

    def _set(self, index: int, row: Mapping[str, Any]) -> None:
        arrays = self._arrays
        published_us, expires_us = row["published_at_us"], row["expires_at_us"]
        published_s = ALWAYS_S if published_us is None else published_us // 1_000_000
        if arrays["published_s"][index] != published_s:
            self._latest = None
        for name in ("price", "list_price", "stock"):
            arrays[name][index] = np.nan if row[name] is None else row[name]
        arrays["visible"][index] = row["visible"]
        arrays["in_catalog"][index] = True
        arrays["published_s"][index] = published_s
        arrays["expires_s"][index] = NEVER_S if expires_us is None else expires_us // 1_000_000
        times = {"published_at": _moment(published_us), "expires_at": _moment(expires_us)}
        fields = {name: times[name] if name in times else row[name] for name in FIELDS}
        dimensions = {name: row["dimensions"].get(name, []) for name in self._bundle.manifest.dimensions}
        self._rows[index] = {**fields, "in_catalog": True, **dimensions}

    def _add(self, item_id: str) -> int:
        index = len(self)
        for name, column in self._arrays.items():
            if index == len(column):
                self._arrays[name] = np.concatenate([column, np.zeros(max(1_024, index // 8), column.dtype)])
        self._added[item_id] = index
        self._ids.append(item_id)
        self._latest = None
        return index

    def _show_arrays(self) -> None:
        for name in _COLUMNS:
            setattr(self, name, self._arrays[name][: len(self)])


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy().copy()


def _seconds(times: pl.Series, unknown: int) -> NDArray[np.int64]:
    return times.dt.epoch("s").fill_null(unknown).to_numpy().copy()


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)
