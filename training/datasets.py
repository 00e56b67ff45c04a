"""Public data sets, read as what the product knows: a snapshot, and questions to be answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator
from polars.exceptions import PolarsError
from scipy import sparse

from features.catalog import FIELDS
from features.errors import InvalidInput, NotFound
from features.event_log import SCHEMA
from features.events import PURCHASE
from features.interactions import History, Interactions
from features.snapshot import Snapshot, SnapshotSettings
from features.snapshot_job import snapshot_of

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When everything begins that has no times; only the order is meant."""
LATEST_S: Final = 1e11
"""No time in seconds is as large: it would be beyond the year 5000."""
KNOWN_FIELDS: Final = ("item_id", "attributes", "title")


class Protocol(StrEnum):
    """How a data set is to be tested."""

    LEAVE_ONE_OUT = "leave-one-out"
    SPLIT = "split"
    SESSIONS = "sessions"


@dataclass(frozen=True, slots=True)
class Questions:
    """Histories, each with what was chosen after it.

    Attributes:
        histories: One for each question; row ``q`` is ``histories.of(q)``.
        relevant: What was to be found; shape (questions, items), 1 where it was.
        asked_s: When all of them are asked; None where each is asked as soon as its history ends.
    """

    histories: Interactions
    relevant: sparse.csr_matrix
    asked_s: int | None = None

    def __len__(self) -> int:
        return self.histories.n_users

    def asked_at(self, number: int) -> datetime:
        """Return when a question is asked: the second after its last interaction, where nothing else is known."""
        if self.asked_s is not None:
            return datetime.fromtimestamp(self.asked_s, UTC)
        times = self.histories.of(number).timestamp_s
        return datetime.fromtimestamp(int(times[-1]) + 1 if len(times) else 0, UTC)

    def those(self, which: np.ndarray) -> Questions:
        """Return the questions ``which``, in that order."""
        return Questions(of_users(self.histories, which), self.relevant[which], self.asked_s)

    def sample(self, n: int, rng: Generator) -> Questions:
        """Return ``n`` of the questions, all of them where there are no more, in their order."""
        return self if n >= len(self) else self.those(np.sort(rng.choice(len(self), n, replace=False)))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set, read.

    Attributes:
        snapshot: All that is given to learn from; of leave-one-out, all there is. A person's interactions are in their
            order, one second apart at least; those of one moment share a ``session``.
        test: The questions of the given test part; None where it is to be cut from the snapshot.
        timed: Whether the times are real; where not, they tell the order alone.
    """

    snapshot: Snapshot
    test: Questions | None
    timed: bool


def read(folder: Path, protocol: Protocol, ids_only: bool, workshop: Path, rng: Generator) -> Dataset:
    """Return the data set in ``folder``; its snapshot lies in ``workshop``.

    Leave-one-out takes ``interactions.parquet`` (``user_id``, ``item_id``, and, as far as known, ``position``,
    ``timestamp``, ``event_type``); a split ``train.parquet`` and ``test.parquet`` with such columns; sessions
    ``train.parquet`` with ``session_id`` for ``user_id``, and ``test.parquet`` (``prefix``, a list, and ``target``).
    ``items.parquet`` (``item_id``, ``attributes``, a list, ``title``) may lie beside, and is not read if ``ids_only``.

    Items get new ids, drawn by ``rng``: ties in score are broken by them, and the order of a file often gives away
    what was chosen after what.

    Raises:
        NotFound: a file is missing.
        InvalidInput: a file is not Parquet, or lacks a column.
    """
    person = "session_id" if protocol is Protocol.SESSIONS else "user_id"
    main = "interactions.parquet" if protocol is Protocol.LEAVE_ONE_OUT else "train.parquet"
    rows = _table(folder / main, person, "item_id").rename({person: "user_id"})
    timed, test = _has_times(rows), None
    if protocol is Protocol.SESSIONS and timed:
        rows = rows.sort(pl.col("timestamp").min().over("user_id"), maintain_order=True)
    if protocol is Protocol.SPLIT:
        test = _table(folder / "test.parquet", "user_id", "item_id")
    elif protocol is Protocol.SESSIONS:
        test = _table(folder / "test.parquet", "prefix", "target")
    items = pl.DataFrame(schema={"item_id": pl.String})
    if not ids_only and (folder / "items.parquet").is_file():
        items = _table(folder / "items.parquet", "item_id")
        items = items.select(name for name in KNOWN_FIELDS if name in items.columns)

    item_code = _codes(rows["item_id"], items["item_id"], *_named_items(test, protocol), rng=rng)
    user_code = rows.select(pl.col("user_id").unique(maintain_order=True)).with_row_index("user")
    coded = _ordered(
        rows.join(user_code, on="user_id", maintain_order="left").join(item_code, on="item_id", maintain_order="left")
    )
    catalog = item_code.join(items, on="item_id", how="left", maintain_order="left").select(
        pl.col("code").alias("item_id"), *items.columns[1:]
    )
    snapshot = _snapshot(coded, catalog, workshop)
    if test is None:
        return Dataset(snapshot, None, timed)
    known = item_code.with_columns(item=pl.Series(snapshot.items.indices(item_code["code"]), dtype=pl.Int32))
    if protocol is Protocol.SESSIONS:
        return Dataset(snapshot, _next_item_questions(test, known, snapshot), timed)
    return Dataset(snapshot, _split_questions(test, known, user_code, snapshot), timed)


def of_users(interactions: Interactions, users: np.ndarray) -> Interactions:
    """Return the histories of ``users``, in that order."""
    length = np.diff(interactions.indptr)[users]
    indptr = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    at = np.repeat(interactions.indptr[users] - indptr[:-1], length) + np.arange(indptr[-1])
    return Interactions(indptr, interactions.all[at])


def relevance(question: np.ndarray, item: np.ndarray, n_questions: int, n_items: int) -> sparse.csr_matrix:
    """Return ``Questions.relevant`` with a 1 at each pair of ``question`` and ``item``."""
    found = sparse.csr_matrix((np.ones(len(item), np.int8), (question, item)), (n_questions, n_items))
    found.data[:] = 1
    return found


def _table(path: Path, *required: str) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}; this protocol needs it.") from None
    except PolarsError as error:
        raise InvalidInput(f"{path} cannot be read as Parquet: {error}.") from None
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise InvalidInput(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}.")
    ids = [name for name in required if table.schema[name] != pl.List(pl.String)]
    return table.with_columns(pl.col(name).cast(pl.String) for name in ids if not table.schema[name].is_nested())


def _named_items(test: pl.DataFrame | None, protocol: Protocol) -> list[pl.Series]:
    """Return the items that only the test may name: they are in the running too, and nothing is known of them."""
    return [test["item_id"]] if test is not None and protocol is Protocol.SPLIT else []


def _codes(*items: pl.Series, rng: Generator) -> pl.DataFrame:
    names = pl.concat(items).unique().sort()
    width = len(str(len(names)))
    code = [f"i{number:0{width}}" for number in rng.permutation(len(names)).tolist()]
    return pl.DataFrame({"item_id": names, "code": code})


def _ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``rows`` with ``second``, increasing by 1 or more within each user, and ``moment``, equal within a tie."""
    rows = rows.with_row_index("line")
    if not _has_times(rows):
        rows = rows.sort("user", *(["position"] if "position" in rows.columns else []), "line")
        return rows.with_columns(second=pl.int_range(pl.len()), moment=pl.int_range(pl.len()))
    rows = rows.with_columns(_seconds(rows["timestamp"]))
    # Of what has no time, only its place in the file tells when it was.
    order = "position" if "position" in rows.columns else pl.col("timestamp").forward_fill().over("user")
    rows = rows.sort("user", order, "line")
    second = pl.col("timestamp") - int(EPOCH.timestamp())
    known = second.forward_fill().backward_fill().over("user").fill_null(second.median().cast(pl.Int64))
    rows = rows.with_columns(moment=known).with_columns(moment=pl.col("moment").cum_max().over("user"))
    # s_k = max(m_k, s_(k-1) + 1) is, with n_k = m_k - k, the running maximum of n plus k.
    place = pl.int_range(pl.len()).over("user")
    return rows.with_columns(second=(pl.col("moment") - place).cum_max().over("user") + place)


def _seconds(times: pl.Series) -> pl.Series:
    """Return ``times`` in seconds since 1970; numbers are such seconds, or milliseconds where they are too large."""
    if times.dtype.is_numeric():
        number = times.cast(pl.Float64).fill_nan(None)
        usual = cast(float | None, number.abs().median())
        return (number / (1000 if usual is not None and usual > LATEST_S else 1)).floor().cast(pl.Int64)
    given = times.dtype
    if given == pl.String:
        times = times.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    if not times.dtype.is_temporal() or times.null_count() == len(times):
        raise InvalidInput(
            f"The column timestamp holds {given} that is no time; allowed are times, seconds since 1970, or text like "
            "2014-07-01T12:00:00Z."
        )
    return times.dt.epoch("s")


def _has_times(rows: pl.DataFrame) -> bool:
    return "timestamp" in rows.columns and rows["timestamp"].null_count() < len(rows)


def _snapshot(rows: pl.DataFrame, catalog: pl.DataFrame, workshop: Path) -> Snapshot:
    n = len(rows)
    width = len(str(rows["user"].max()))
    user = rows["user"].cast(pl.String).str.zfill(width)
    moment = rows["moment"].cast(pl.String)
    columns = {
        "event_id": pl.int_range(n, eager=True).cast(pl.String),
        "event_type": rows["event_type"] if "event_type" in rows.columns else pl.repeat("purchase", n, eager=True),
        "user_id": user,
        "item_id": rows["code"],
        "timestamp": pl.Series(rows["second"] * 1_000_000 + int(EPOCH.timestamp()) * 1_000_000).cast(
            pl.Datetime("us", "UTC")
        ),
        "quantity": pl.repeat(1.0, n, eager=True),
        "value": pl.repeat(None, n, dtype=pl.Float64, eager=True),
        "session_id": user + "-" + moment,
        "ranking_id": pl.repeat(None, n, dtype=pl.String, eager=True),
        "decision_id": pl.repeat(None, n, dtype=pl.String, eager=True),
        "same_as": pl.repeat(None, n, dtype=pl.String, eager=True),
        "context": pl.repeat("{}", n, eager=True),
    }
    log = workshop / "log.parquet"
    workshop.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_arrays(
        [columns[name].to_arrow().cast(SCHEMA.field(name).type) for name in SCHEMA.names], schema=SCHEMA
    )
    pq.write_table(table, log)
    settings = SnapshotSettings(half_life_days=36_500)
    return snapshot_of([log], _catalog(catalog), workshop / "snapshots", settings)


def _catalog(items: pl.DataFrame) -> pl.DataFrame:
    """Return ``items`` with all columns that a catalog has."""
    fields: dict[str, pl.DataType | type[pl.DataType]] = {
        "price": pl.Float64,
        "list_price": pl.Float64,
        "stock": pl.Float64,
    }
    fields |= dict.fromkeys(("published_at", "expires_at"), pl.Datetime("us", "UTC"))
    missing = [name for name in FIELDS if name not in items.columns and name not in ("visible", "item_type")]
    return items.with_columns(
        pl.lit("product").alias("item_type"),
        pl.lit(True).alias("visible"),
        *(pl.lit(None, fields.get(name, pl.String)).alias(name) for name in missing),
    )


def _next_item_questions(test: pl.DataFrame, items: pl.DataFrame, snapshot: Snapshot) -> Questions:
    """Return the questions of sessions that all begin where the snapshot ends."""
    code = dict(zip(items["item_id"], items["item"].to_list(), strict=True))
    prefixes = [[code[name] for name in prefix if name in code] for prefix in test["prefix"].to_list()]
    target = [code.get(name, -1) for name in test["target"].to_list()]
    indptr = np.concatenate([[0], np.cumsum([len(prefix) for prefix in prefixes])]).astype(np.int64)
    item = np.array([one for prefix in prefixes for one in prefix], np.int32)
    end_s = int(snapshot.interactions.all.timestamp_s.max()) + 1
    seconds = end_s + np.arange(len(item)) - np.repeat(indptr[:-1], np.diff(indptr))
    question = np.arange(len(target))
    known = np.array(target) >= 0
    relevant = relevance(question[known], np.array(target)[known], len(target), len(snapshot.items))
    return Questions(Interactions(indptr, _purchases(item, seconds)), relevant)


def _split_questions(test: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame, snapshot: Snapshot) -> Questions:
    pairs = test.join(users, on="user_id").join(items, on="item_id")
    asked, question = np.unique(pairs["user"].to_numpy(), return_inverse=True)
    relevant = relevance(question, pairs["item"].to_numpy(), len(asked), len(snapshot.items))
    return Questions(of_users(snapshot.interactions, asked.astype(np.int64)), relevant)


def _purchases(item: np.ndarray, timestamp_s: np.ndarray) -> History:
    n = len(item)
    return History(
        item=item,
        event_type=np.full(n, PURCHASE, np.uint8),
        timestamp_s=timestamp_s.astype(np.int64),
        quantity=np.ones(n, np.float32),
        value=np.zeros(n, np.float32),
        session=np.full(n, -1, np.int32),
    )
