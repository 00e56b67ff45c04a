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


def encode_interactions(events: Table, catalog_items: Sequence[str], folder: Path, engine: BaseBackend) -> list[str]:
    """Write ``users.npy``, ``items.npy`` and ``interactions/`` of ``events`` into ``folder``; return the event types.

    An interaction is an event that names an item. A user's interactions are ordered by time; what has
    no order (the lines of one receipt) is ordered by session, item, type, quantity and value, so that the result
    depends on neither the layout of the log nor on who asks. Sessions are numbered by their start.

    Raises:
        InvalidInput: there is no interaction, or there are more than 256 event types, or one is called ``combined``.
    """
    events = events.filter(events.item_id.notnull()).mutate(session_id=events.session_id.fill_null(""))

    things = _cached(events.group_by("item_id", "event_type").agg(), engine)
    event_types = _event_types(_distinct(things.event_type, engine))
    items = Vocabulary.of([*catalog_items, *_distinct(things.item_id, engine)])
    items.save(folder / "items.npy")

    visits = _cached(events.group_by("user_id", "session_id").agg(start=events.timestamp.min()), engine)
    users = Vocabulary.of(_distinct(visits.user_id, engine))
    if not len(users):
        raise InvalidInput(
            "No event in the log names an item. Import some that do: `python -m features import events`."
        )
    users.save(folder / "users.npy")

    visits = visits.join(_codes("user", "user_id", users.ids()), "user_id")
    unknown = visits.session_id == ""
    number = ibis.row_number().over(order_by=[unknown, visits.start, visits.user, visits.session_id])
    visits = visits.select("user_id", "session_id", "user", session=unknown.ifelse(-1, number).cast("int32"))

    rows = (
        events.join(visits, ["user_id", "session_id"])
        .join(_codes("item", "item_id", items.ids()), "item_id")
        .join(_codes("code", "event_type", event_types), "event_type")
    )
    rows = rows.select(
        "user",
        "timestamp",
        "session",
        "item",
        event_type=rows.code.cast("uint8"),
        quantity=rows.quantity.cast("float32"),
        value=rows.value.fill_null(0.0).cast("float32"),
    )
    with RaggedArrays(folder / "interactions", len(users), COLUMNS) as files:
        for batch in engine.to_pyarrow_batches(rows.order_by(rows.columns)):
            columns = {name: batch[name].to_numpy() for name in batch.schema.names}
            timestamp_us = columns["timestamp"].astype("datetime64[us]").view(np.int64)
            files.append(columns["user"], columns | {"timestamp_s": timestamp_us // 1_000_000})
    return event_types


def encode_catalog(catalog: pl.DataFrame, folder: Path) -> list[str]:
    """Write ``catalog.parquet`` and ``dimensions/`` into ``folder``, where ``items.npy`` lies; return the dimensions.

    In an empty catalog, every item that an event names is taken as one that may be shown.
    """
    items = Vocabulary.load(folder / "items.npy")
    rows = pl.DataFrame({"item_id": items.ids()}, schema={"item_id": pl.String()})
    if catalog.is_empty():
        catalog = rows.join(catalog, on="item_id", how="left", maintain_order="left").with_columns(visible=True)
    catalog = catalog.select("item_id", pl.lit(True).alias("in_catalog"), pl.exclude("item_id"))
    rows = rows.join(catalog, on="item_id", how="left", maintain_order="left")
    dimensions = sorted(name for name, dtype in rows.schema.items() if dtype == pl.List(pl.String()))
    rows = rows.with_columns(
        pl.col("in_catalog").fill_null(False),
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
    if "combined" in own:
        raise InvalidInput("The log has an event type 'combined', the name of the matrix of all types. Rename it.")
    if len(STANDARD_EVENT_TYPES) + len(own) > 256:
        raise InvalidInput(
            f"The log has {len(own)} event types of its own (such as {', '.join(own[:3])}); at most "
            f"{256 - len(STANDARD_EVENT_TYPES)} are possible. Put what distinguishes them into `context`."
        )
    return [*STANDARD_EVENT_TYPES, *own]
