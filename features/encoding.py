"""From the log's names to indices: the vocabularies and the interactions of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ibis
import numpy as np
import polars as pl
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from features.errors import InvalidInput
from features.events import STANDARD_EVENT_TYPES
from features.interactions import COLUMNS
from features.ragged_arrays import RaggedArrays
from features.vocabulary import Vocabulary

CATALOG_SCHEMA = {
    "item_id": pl.String(),
    "item_type": pl.String(),
    "title": pl.String(),
    "url": pl.String(),
    "image_url": pl.String(),
    "price": pl.Float64(),
    "list_price": pl.Float64(),
    "stock": pl.Int64(),
    "visible": pl.Boolean(),
    "published_at": pl.Datetime("us", "UTC"),
    "expires_at": pl.Datetime("us", "UTC"),
}
"""What every catalog says of an item, beside its dimensions."""


def encode_interactions(events: Table, catalog_items: Sequence[str], folder: Path, engine: BaseBackend) -> list[str]:
    """Write ``users.npy``, ``items.npy`` and ``interactions/`` of ``events`` into ``folder``; return the event types.

    An interaction is an event with a user and an item. A user's interactions are ordered by time; what the log knows
    of no order (the lines of one receipt) is ordered by session, item, type, quantity and value, so that the result
    depends on neither the layout of the log nor on who asks. Sessions are numbered by user, and then by their start.

    Raises:
        InvalidInput: there is no interaction, or there are more than 256 event types.
    """
    events = events.filter(events.user_id.notnull() & events.item_id.notnull())
    events = events.mutate(session_id=events.session_id.fill_null(""))

    things = _cached(events.group_by("item_id", "event_type").agg(), engine)
    event_types = _event_types(_distinct(things.event_type, engine))
    items = Vocabulary.of([*catalog_items, *_distinct(things.item_id, engine)])
    items.save(folder / "items.npy")

    visits = _cached(events.group_by("user_id", "session_id").agg(start=events.timestamp.min()), engine)
    users = Vocabulary.of(_distinct(visits.user_id, engine))
    if not len(users):
        raise InvalidInput(
            "No event in the log names both a user and an item. Import some: `python -m features import`."
        )
    users.save(folder / "users.npy")

    visits = visits.join(_codes("user", "user_id", users.ids()), "user_id")
    unknown = visits.session_id == ""
    number = ibis.row_number().over(order_by=[unknown, visits.user, visits.start, visits.session_id])
    visits = visits.select("user_id", "session_id", "user", session=unknown.ifelse(-1, number).cast("int32"))

    rows = (
        events.join(visits, ["user_id", "session_id"])
        .join(_codes("item", "item_id", items.ids()), "item_id")
        .join(_codes("code", "event_type", event_types), "event_type")
    )
    rows = rows.select(
        "user",
        "item",
        "timestamp",
        "session",
        event_type=rows.code.cast("uint8"),
        # truncated first, because some engines round when they cast
        timestamp_s=rows.timestamp.truncate("s").epoch_seconds().cast("int64"),
        quantity=rows.quantity.fill_null(1.0).cast("float32"),
        value=rows.value.fill_null(0.0).cast("float32"),
    ).order_by("user", "timestamp", "session", "item", "event_type", "quantity", "value")
    with RaggedArrays(folder / "interactions", len(users), COLUMNS) as files:
        for batch in engine.to_pyarrow_batches(rows.select("user", *COLUMNS)):
            columns = {name: batch[name].to_numpy() for name in ("user", *COLUMNS)}
            files.append(columns["user"], columns)
    return event_types


def encode_catalog(catalog: pl.DataFrame | None, folder: Path) -> list[str]:
    """Write ``catalog.parquet`` and ``dimensions/`` into ``folder``, where ``items.npy`` lies; return the dimensions.

    Without a catalog, every item that an event names is taken as one that may be shown.
    """
    items = Vocabulary.load(folder / "items.npy")
    rows = pl.DataFrame({"item_id": items.ids()}, schema={"item_id": pl.String()})
    if catalog is None:
        rows = rows.with_columns(in_catalog=True, visible=True)
    else:
        rows = rows.join(catalog.with_columns(in_catalog=True), on="item_id", how="left", maintain_order="left")
    dimensions = sorted(name for name, dtype in rows.schema.items() if dtype == pl.List(pl.String()))
    rows = rows.select(
        "item_id",
        pl.col("in_catalog").fill_null(False),
        *(
            (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in CATALOG_SCHEMA.items()
            if name != "item_id"
        ),
        *(pl.col(name).fill_null([]).list.drop_nulls().list.unique().list.sort() for name in dimensions),
    )
    rows.write_parquet(folder / "catalog.parquet")

    for dimension in dimensions:
        pairs = rows.select(item=pl.int_range(pl.len(), dtype=pl.Int32()), value=dimension)
        pairs = pairs.explode("value").drop_nulls("value")
        values = Vocabulary.of(pairs["value"].unique())
        codes = pl.DataFrame({"value": values.ids(), "code": np.arange(len(values), dtype=np.int32)})
        pairs = pairs.join(codes, on="value", maintain_order="left").sort("item", "code")
        where = folder / "dimensions" / dimension
        with RaggedArrays(where / "items", len(items), {"indices": np.int32, "data": np.float32}) as matrix:
            matrix.append(
                pairs["item"].to_numpy(),
                {"indices": pairs["code"].to_numpy(), "data": np.ones(len(pairs), np.float32)},
            )
        values.save(where / "values.npy")
    return dimensions


def _cached(table: Table, engine: BaseBackend) -> Table:
    return engine.create_table(ibis.util.gen_name("attune"), table, temp=True)


def _distinct(column: ibis.Column, engine: BaseBackend) -> list[str]:
    return engine.to_pyarrow(column.as_table().distinct()).column(0).to_pylist()


def _codes(code: str, name: str, ids: Sequence[str]) -> Table:
    return ibis.memtable(pa.table({name: pa.array(ids, pa.string()), code: np.arange(len(ids), dtype=np.int32)}))


def _event_types(found: Sequence[str]) -> list[str]:
    own = sorted(set(found) - set(STANDARD_EVENT_TYPES))
    if len(STANDARD_EVENT_TYPES) + len(own) > 256:
        raise InvalidInput(
            f"The log has {len(own)} event types of its own (such as {', '.join(own[:3])}); at most "
            f"{256 - len(STANDARD_EVENT_TYPES)} are possible. Put what distinguishes them into `context`."
        )
    return [*STANDARD_EVENT_TYPES, *own]
