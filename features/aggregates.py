"""From interactions to sums: matrices, affinities, and the features of items and users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

import ibis
import numpy as np
import polars as pl
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from features.events import PURCHASE
from features.interactions import COLUMNS, DAY_S, Interactions
from features.ragged_arrays import RaggedArrays
from features.saved import load_array
from features.snapshot import SnapshotSettings

WEIGHT_STEPS: Final = 2.0**30
"""Steps in a weight of 1. Weights are rounded to a step, so that adding them is exact, and the same in any order, up
to sums of 2**23; what is older than 30 half-lives weighs nothing."""

MONEY_STEPS: Final = 10_000.0
"""Steps in one unit of the currency, for the same reason."""

MATRIX: Final = {"indices": np.int32, "data": np.float32}


def write_aggregates(
    folder: Path,
    event_types: Sequence[str],
    dimensions: Sequence[str],
    as_of: datetime,
    settings: SnapshotSettings,
    engine: BaseBackend,
) -> None:
    """Write all that follows from ``interactions/`` and ``dimensions/*/items/`` in ``folder`` beside them.

    That is ``matrices/``, ``dimensions/*/users/``, ``item_features.parquet`` and ``user_features.parquet``.
    """
    interactions = Interactions.load(folder / "interactions")
    events = _events(interactions, event_types, as_of, settings)
    occurring = {code: event_types[code] for code in np.flatnonzero(np.bincount(interactions.all.event_type)).tolist()}
    pairs = engine.create_table(ibis.util.gen_name("pairs"), _pairs(events, occurring), temp=True)
    _write_matrices(folder / "matrices", pairs, occurring, interactions.n_users, engine)
    for dimension in dimensions:
        _write_affinities(folder / "dimensions" / dimension, pairs, interactions.n_users, engine)
    n_items = len(load_array(folder / "items.npy"))
    _item_features(events, pairs, occurring, n_items, engine).write_parquet(folder / "item_features.parquet")
    _user_features(events, occurring, interactions.n_users, engine).write_parquet(folder / "user_features.parquet")


def _events(
    interactions: Interactions, event_types: Sequence[str], as_of: datetime, settings: SnapshotSettings
) -> Table:
    """Return the interactions with their user, ``sign`` (+1, 0, -1) and decayed ``weight``."""
    rows = ibis.memtable(
        pa.table({"user": interactions.users()} | {name: getattr(interactions.all, name) for name in COLUMNS})
    )
    sign = rows.quantity.sign().cast("float64")
    age_half_lives = (int(as_of.timestamp()) - rows.timestamp_s) / (settings.half_life_days * DAY_S)
    weights = {code: settings.event_weights.get(name, 0.0) for code, name in enumerate(event_types)}
    decayed = rows.event_type.cases(*weights.items()) * sign * ibis.literal(2.0) ** -age_half_lives
    return rows.mutate(sign=sign, weight=(decayed * WEIGHT_STEPS).round().cast("float64") / WEIGHT_STEPS)


def _counts(events: Table, occurring: Mapping[int, str]) -> dict[str, ibis.Value]:
    """Return how many events of each type there are, a return counting -1."""
    return {
        f"n_{name}": events.sign.sum(where=events.event_type == code).fill_null(0.0) for code, name in occurring.items()
    }


def _is_purchase(events: Table) -> ibis.Value:
    return (events.event_type == PURCHASE) & (events.quantity > 0)


def _pairs(events: Table, occurring: Mapping[int, str]) -> Table:
    """Return one row for each user and item that have to do with one another."""
    bought_s = _is_purchase(events).ifelse(events.timestamp_s, ibis.null("int64"))
    return events.group_by("user", "item").agg(
        weight=events.weight.sum(),
        bought=bought_s.count() > 0,
        bought_again=(bought_s.max() > bought_s.min()).fill_null(False),
        **_counts(events, occurring),
    )


def _write_matrices(
    folder: Path, pairs: Table, occurring: Mapping[int, str], n_users: int, engine: BaseBackend
) -> None:
    columns = {"combined": "weight"} | {name: f"n_{name}" for name in occurring.values()}
    ordered = pairs.select("user", "item", *columns.values()).order_by("user", "item")
    with ExitStack() as stack:
        matrices = {name: stack.enter_context(RaggedArrays(folder / name, n_users, MATRIX)) for name in columns}
        for batch in engine.to_pyarrow_batches(ordered):
            users, items = batch["user"].to_numpy(), batch["item"].to_numpy()
            for name, column in columns.items():
                data = batch[column].to_numpy().astype(np.float32)
                kept = data > 0
                matrices[name].append(users[kept], {"indices": items[kept], "data": data[kept]})


def _write_affinities(folder: Path, pairs: Table, n_users: int, engine: BaseBackend) -> None:
    indptr, values = (load_array(folder / "items" / f"{part}.npy") for part in ("indptr", "indices"))
    items = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    weighted = pairs.join(ibis.memtable(pa.table({"item": items, "value": values})), "item")
    affinities = weighted.group_by("user", "value").agg(weight=weighted.weight.sum()).order_by("user", "value")
    with RaggedArrays(folder / "users", n_users, MATRIX) as matrix:
        for batch in engine.to_pyarrow_batches(affinities):
            data = batch["weight"].to_numpy().astype(np.float32)
            kept = data > 0
            matrix.append(
                batch["user"].to_numpy()[kept], {"indices": batch["value"].to_numpy()[kept], "data": data[kept]}
            )


def _item_features(
    events: Table, pairs: Table, occurring: Mapping[int, str], n_items: int, engine: BaseBackend
) -> pl.DataFrame:
    sums = pairs.group_by("item").agg(
        **{f"n_{name}": pairs[f"n_{name}"].sum().cast("int64") for name in occurring.values()},
        users=pairs.count(),
        popularity=pairs.weight.sum(),
        repeat_rate=pairs.bought_again.sum() / pairs.bought.sum().nullif(0),
    )
    unit_price = events.value.cast("float64") / events.quantity
    details = events.group_by("item").agg(
        price=unit_price.median(where=_is_purchase(events) & (events.value > 0)),
        first_at=events.timestamp_s.min(),
        last_at=events.timestamp_s.max(),
    )
    return _features("item", n_items, sums, details, engine=engine)


def _user_features(events: Table, occurring: Mapping[int, str], n_users: int, engine: BaseBackend) -> pl.DataFrame:
    money = (events.value.cast("float64") * MONEY_STEPS).round().cast("float64")
    sums = events.group_by("user").agg(
        **{name: count.cast("int64") for name, count in _counts(events, occurring).items()},
        sessions=events.session.nunique(where=events.session >= 0),
        value=money.sum() / MONEY_STEPS,
        first_at=events.timestamp_s.min(),
        last_at=events.timestamp_s.max(),
    )
    return _features("user", n_users, sums, engine=engine)


def _features(index: str, n: int, *parts: Table, engine: BaseBackend) -> pl.DataFrame:
    """Return ``parts`` beside one another; a row for each of ``n`` indices, also where nothing is known."""
    rows = pl.DataFrame({index: np.arange(n, dtype=np.int32)})
    for part in parts:
        rows = rows.join(engine.to_polars(part), on=index, how="left", maintain_order="left")
    times = ("first_at", "last_at")
    return rows.drop(index).with_columns(
        pl.exclude("price", "repeat_rate", *times).fill_null(0),
        *(pl.from_epoch(name, "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC") for name in times),
    )
