"""What can be shown: the items, their prices, stock, dates and dimensions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.database import open_database, transaction
from features.errors import InvalidField
from features.fields import NAME, Field, Flag, Labels, Number, Rejected, Text, Time, as_json, microseconds
from features.layout import Layout

FIELDS: Final[dict[str, Field[Any]]] = {
    "item_id": Text(),
    "item_type": Text(64, NAME),
    "title": Text(1024),
    "description": Text(65_536, multiline=True),
    "url": Text(4096),
    "image_url": Text(4096),
    "price": Number(0),
    "list_price": Number(0),
    "stock": Number(),
    "visible": Flag(),
    "published_at": Time(),
    "expires_at": Time(),
}
"""What each field of an item may hold; its dimensions hold ``Labels``. A missing ``stock`` means unlimited."""

DIMENSION_NAME: Final = Text(64, NAME)
REQUIRED: Final = ("item_id",)
DEFAULTS: Final[dict[str, Any]] = {"item_type": "product", "visible": True}
RESERVED: Final = frozenset(FIELDS) | {"in_catalog", "dimensions"}
"""Names that no dimension may have, for each dimension is a column beside the fields."""

BATCH_ROWS: Final = 20_000
_MOMENT = pa.timestamp("us", "UTC")
_TYPES: Final = {
    "price": pa.float64(),
    "list_price": pa.float64(),
    "stock": pa.float64(),
    "visible": pa.bool_(),
    "published_at": _MOMENT,
    "expires_at": _MOMENT,
}
_COLUMNS: Final = [f"{name}_us" if name.endswith("_at") else name for name in FIELDS] + ["dimensions"]
_ASSIGNED = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
_OLD, _NEW = (", ".join(f"{table}.{name}" for name in _COLUMNS[1:]) for table in ("items", "excluded"))
_EMPTY: Final[dict[str, Any]] = dict.fromkeys(_COLUMNS) | DEFAULTS | {"dimensions": {}}
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM catalog_changes"
_UPSERT: Final = (
    f"INSERT INTO items ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    f" ON CONFLICT (item_id) DO UPDATE SET {_ASSIGNED} WHERE ({_OLD}) IS NOT ({_NEW})"
)


Row = dict[str, Any]
"""An item as the database has it: ``FIELDS``, times as microseconds ``..._at_us``, and ``dimensions``, a mapping of
each dimension that it has to its values."""


class InvalidItem(InvalidField):
    """An item is not what is allowed."""

    record = "item"


def parse(record: object) -> Row:
    """Return the columns that ``record`` gives an item: an object of ``FIELDS`` and ``dimensions``; null empties one.

    ``dimensions`` maps names to a text or a list of texts. What is not given is not in the result.

    Raises:
        InvalidItem: a field is unknown, of the wrong type or out of range, or there is no ``item_id``.
    """
    if not isinstance(record, Mapping):
        raise InvalidItem("", "must be an object", record)
    row: Row = {}
    for name, given in record.items():
        if name != "dimensions" and name not in FIELDS:
            raise InvalidItem(str(name), f"is not known; allowed are {', '.join(FIELDS)}, dimensions", given)
        try:
            if name == "dimensions":
                row[name] = _dimensions(given)
            elif given is None:
                row[_column(name)] = DEFAULTS.get(name)
            else:
                value = FIELDS[name].value(given)
                row[_column(name)] = microseconds(value) if name.endswith("_at") else value
        except Rejected as rejected:
            raise InvalidItem(name, str(rejected), given) from None
    if row.get("item_id") is None:
        raise InvalidItem("item_id", "is required", None)
    return row


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of an item.

    Attributes:
        version: The number of its last change.
        item_id: The item.
        row: It as it is; None where it is not in the catalog.
    """

    version: int
    item_id: str
    row: Row | None


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of items that were given to the catalog: how many it did not have, changed, or had as they are."""

    new: int
    changed: int
    unchanged: int

    @property
    def touched(self) -> int:
        """How many are new or changed."""
        return self.new + self.changed


class Catalog:
    """The items of one run-time folder."""

    def __init__(self, layout: Layout, database: sqlite3.Connection | None = None) -> None:
        """Open the catalog, or use the open ``database``; raises what ``open_database`` does."""
        self._layout = layout
        self._database = database or open_database(layout.database)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __len__(self) -> int:
        """Return how many items there are."""
        return int(self._database.execute("SELECT count(*) FROM items").fetchone()[0])

    def upsert(self, items: pl.DataFrame) -> Upserted:
        """Add ``items``, or replace those of the same ``item_id`` as a whole, in one durable transaction.

        ``items`` has the columns ``FIELDS`` and for each dimension one of ``list[str]``, all checked. Of rows with the
        same ``item_id`` the last one holds.
        """
        last = items.unique("item_id", keep="last", maintain_order=True)
        moments = [pl.col(name).dt.epoch("us") for name in FIELDS if name.endswith("_at")]
        plain = last.select(*FIELDS).with_columns(moments)
        dimensions = last.select(pl.exclude(*FIELDS))
        names = sorted(dimensions.columns)
        texts = [
            as_json({name: values for name, values in zip(names, row, strict=True) if values})
            for row in dimensions.select(names).iter_rows()
        ] or ["{}"] * len(last)
        return self._put([(*row, text) for row, text in zip(plain.iter_rows(), texts, strict=True)])

    def put(self, rows: Iterable[Row]) -> Upserted:
        """Add the items ``rows``, or replace those of the same ``item_id`` as a whole, in one durable transaction."""
        return self._put([_values(_EMPTY | row) for row in rows])

    def _put(self, values: Sequence[tuple[Any, ...]]) -> Upserted:
        with transaction(self._database):
            size, version = len(self), self.version
            self._database.executemany(_UPSERT, values)
            new = len(self) - size
            changed = self.version - version - new
        return Upserted(new, changed, len(values) - new - changed)

    def patch(self, rows: Iterable[Row]) -> list[str]:
        """Set only the columns that ``rows`` give, in one durable transaction; return the ids that no item has."""
        unknown = []
        with transaction(self._database):
            for row in rows:
                stored = {name: as_json(value) if name == "dimensions" else value for name, value in row.items()}
                names = [name for name in stored if name != "item_id"]
                if names:
                    sets = ", ".join(f"{name} = :{name}" for name in names)
                    there = f"UPDATE items SET {sets} WHERE item_id = :item_id"
                    found = self._database.execute(there, stored).rowcount
                else:
                    found = len(
                        self._database.execute("SELECT 1 FROM items WHERE item_id = :item_id", stored).fetchall()
                    )
                if not found:
                    unknown.append(row["item_id"])
        return unknown

    def delete(self, item_ids: Iterable[str]) -> list[str]:
        """Take items out of the catalog, in one durable transaction; return the ids that no item has."""
        with transaction(self._database):
            delete = "DELETE FROM items WHERE item_id = ?"
            return [one for one in item_ids if not self._database.execute(delete, [one]).rowcount]

    def row(self, item_id: str) -> Row | None:
        """Return an item, None where there is none."""
        found = self._database.execute(f"SELECT {', '.join(_COLUMNS)} FROM items WHERE item_id = ?", [item_id])
        return next((_row(values) for values in found), None)

    @property
    def name(self) -> str:
        """What tells this catalog from others, whose versions mean other things."""
        return str(self._database.execute("SELECT name FROM catalog_name").fetchone()[0])

    @property
    def version(self) -> int:
        """The number of the last change."""
        return int(self._database.execute(_VERSION).fetchone()[0])

    def changes(self, since: int, most: int = -1) -> list[Change]:
        """Return each item that changed after the version ``since``, as it is now, in order of its last change.

        With ``most``, only the first so many; those after them changed after the version of the last one.
        """
        joined = ", ".join(f"items.{name}" for name in _COLUMNS)
        found = self._database.execute(
            f"""SELECT changed.version, changed.item_id, {joined}
            FROM (SELECT max(version) AS version, item_id FROM catalog_changes WHERE version > ? GROUP BY item_id)
                AS changed LEFT JOIN items USING (item_id) ORDER BY changed.version LIMIT ?""",
            [since, most],
        )
        return [Change(version, one, None if values[0] is None else _row(values)) for version, one, *values in found]

    def as_of(self, version: int) -> list[Change]:
        """Return each item that has changed after ``version``, as it was then."""
        undo = "SELECT item_id, before FROM catalog_changes WHERE version > ? ORDER BY version DESC"
        rows: dict[str, Row | None] = {}
        for item_id, before in self._database.execute(undo, [version]).fetchall():
            now = rows[item_id] if item_id in rows else self.row(item_id)
            if before is None:
                rows[item_id] = None
            else:
                was = json.loads(before)
                if "dimensions" in was:
                    was["dimensions"] = json.loads(was["dimensions"])
                if "visible" in was:
                    was["visible"] = bool(was["visible"])
                rows[item_id] = {"item_id": item_id, **(now or {}), **was}
        return [Change(version, item_id, row) for item_id, row in rows.items()]

    def export(self, path: Path) -> str:
        """Write all items to the Parquet file ``path``, one row each, sorted by ``item_id``.

        Returns the name and the version of the catalog, as ``name:version``.

        Columns: ``FIELDS``, then the dimensions in order of their names, each a list of text that is empty where the
        item has no value.
        """
        connection = open_database(self._layout.database)  # one of its own: its view must not move while it reads
        with closing(connection):
            connection.execute("BEGIN")
            ((name, version),) = connection.execute(f"SELECT name, ({_VERSION}) FROM catalog_name").fetchall()
            keys = "SELECT DISTINCT key FROM items, json_each(items.dimensions) ORDER BY key"
            names = [key for (key,) in connection.execute(keys)]
            schema = pa.schema(
                [(name, _TYPES.get(name, pa.string())) for name in FIELDS]
                + [(name, pa.list_(pa.string())) for name in names]
            )
            rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM items ORDER BY item_id")
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                while some := rows.fetchmany(BATCH_ROWS):
                    *columns, texts = zip(*some, strict=True)
                    dimensions = [json.loads(text) for text in texts]
                    columns[list(FIELDS).index("visible")] = tuple(map(bool, columns[list(FIELDS).index("visible")]))
                    columns += [tuple(values.get(name, []) for values in dimensions) for name in names]
                    arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return f"{name}:{version}"


def problem_of_dimensions(names: Iterable[str]) -> str | None:
    """Return what is wrong with the first name that no dimension may have, or None."""
    for name in names:
        if name in RESERVED:
            return f"A dimension cannot be called {name!r}: the item itself has a field of that name."
        if not DIMENSION_NAME.allows(name):
            return f"A dimension cannot be called {name!r}: its name {DIMENSION_NAME.reason}."
    return None


def _column(field: str) -> str:
    return f"{field}_us" if field.endswith("_at") else field


def _dimensions(given: object) -> dict[str, list[str]]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Rejected('must be an object of names and their values, as {"colour": ["black"]}')
    if problem := problem_of_dimensions(given):
        raise Rejected(f"has a name that is not allowed. {problem}"[:-1])
    labels = Labels()
    found = {name: labels.value([] if given[name] is None else given[name]) for name in sorted(given)}
    return {name: values for name, values in found.items() if values}


def _values(row: Row) -> tuple[Any, ...]:
    return tuple(as_json(row[name]) if name == "dimensions" else row[name] for name in _COLUMNS)


def _row(values: Iterable[Any]) -> Row:
    row = dict(zip(_COLUMNS, values, strict=True))
    row["visible"] = bool(row["visible"])
    row["dimensions"] = json.loads(row["dimensions"])
    return row
