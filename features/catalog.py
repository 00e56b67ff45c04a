"""What can be shown: the items, their prices, stock, dates and dimensions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.database import open_database, transaction
from features.fields import NAME, Field, Flag, Number, Text, Time, as_json
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
_UPSERT: Final = (
    f"INSERT INTO items ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    f" ON CONFLICT (item_id) DO UPDATE SET {_ASSIGNED} WHERE ({_OLD}) IS NOT ({_NEW})"
)


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

    def __init__(self, layout: Layout) -> None:
        """Open the catalog; raises what ``open_database`` does."""
        self._layout = layout
        self._database = open_database(layout.database)

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
        with transaction(self._database):
            size, changes = len(self), self._database.total_changes
            rows = ((*row, text) for row, text in zip(plain.iter_rows(), texts, strict=True))
            self._database.executemany(_UPSERT, rows)
            new = len(self) - size
            changed = self._database.total_changes - changes - new
        return Upserted(new, changed, len(last) - new - changed)

    def export(self, path: Path) -> None:
        """Write all items to the Parquet file ``path``, one row each, sorted by ``item_id``.

        Columns: ``FIELDS``, then the dimensions in order of their names, each a list of text that is empty where the
        item has no value.
        """
        connection = open_database(self._layout.database)  # one of its own: its view must not move while it reads
        with closing(connection):
            connection.execute("BEGIN")
            keys = "SELECT DISTINCT key FROM items, json_each(items.dimensions) ORDER BY key"
            names = [name for (name,) in connection.execute(keys)]
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


def problem_of_dimensions(names: Iterable[str]) -> str | None:
    """Return what is wrong with the first name that no dimension may have, or None."""
    for name in names:
        if name in RESERVED:
            return f"A dimension cannot be called {name!r}: the item itself has a field of that name."
        if not DIMENSION_NAME.allows(name):
            return f"A dimension cannot be called {name!r}: its name {DIMENSION_NAME.reason}."
    return None
