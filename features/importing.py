"""Files into the log and the catalog: every row is checked, what is bad is set aside with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from features import catalog, events
from features.batch import Batch
from features.catalog import Catalog, problem_of_dimensions
from features.errors import InvalidInput
from features.event_log import NUMBERED, EventLog
from features.fields import Attributes, Checked, Field, Given, Labels, Number, Text, Time
from features.mapping import EventMapping, ItemMapping
from features.rejects import Reject, Rejects, rejects_file
from features.source import Source

Progress = Callable[[float], None]
"""Told how much of the file has been read, from 0 to 1."""

REQUIRED_OF_ROWS: Final = tuple(name for name in events.REQUIRED if name != "event_id")
"""What a row of a file must have; where it has no ``event_id``, one is derived."""

Columns = dict[str, tuple[str, ...]]
"""Field -> the columns of the file that it is made of."""

Sifted = tuple[pl.DataFrame, list[tuple[str, pl.Series | None]]]
"""Rows, and for each field why its value was rejected in each row; in the order in which to report them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of a file.

    Attributes:
        read: All rows.
        new: Those that added an event, or added or changed an item.
        repeated: Good ones that changed nothing.
        rejected: Bad ones.
        rejects: The file that holds them, if there are any.
    """

    read: int
    new: int
    repeated: int
    rejected: int
    rejects: Path | None


def import_events(
    log: EventLog, source: Source, mapping: EventMapping, rejects_folder: Path, now: datetime, progress: Progress
) -> Counts:
    """Append the rows of ``source`` to the history of ``log``; rejected ones go to a file in ``rejects_folder``.

    Raises:
        InvalidInput: a required or mapped column is missing, or no mapping is given and there are unknown columns.
    """
    strict = not (mapping.columns or mapping.constants or mapping.context or mapping.unit_price)
    unknown = [name for name in source.columns if name not in events.FIELDS]
    if strict and unknown and not source.open_fields:
        raise InvalidInput(
            f"{source.path} has columns that are no fields of an event: {', '.join(unknown)}. Fields are"
            f" {', '.join(events.FIELDS)}. Say with --map or --mapping which columns to take; the others are left out."
        )
    taken = _taken(mapping, events.FIELDS, REQUIRED_OF_ROWS, source)
    extra = [*mapping.context.values(), *([mapping.unit_price] if mapping.unit_price else [])]
    if not source.open_fields:
        _require(extra, source)
    read = 0

    with rejects_file(rejects_folder, "events", source.path) as rejects:

        def tables() -> Iterator[pa.Table]:
            nonlocal read
            for batch in source.batches(_flat([*taken.values(), extra]), strict):
                read += len(batch.rows) + len(batch.rejects)
                rejects.add(batch.rejects)
                good = _sift(_events(batch, taken, mapping, now), rejects, batch)
                yield good.select(NUMBERED.names).to_arrow().cast(NUMBERED)
                progress(batch.share)

        appended = log.append_tables(tables())
        for some in appended.conflicts.to_batches():
            rows = ({name: value for name, value in row.items() if value is not None} for row in some.to_pylist())
            rejects.add([Reject(row.pop("row"), "event_id", "names another event already", row) for row in rows])
        return Counts(read, appended.new, appended.repeated, rejects.count, rejects.path if rejects.count else None)


def import_items(
    items: Catalog, source: Source, mapping: ItemMapping, rejects_folder: Path, progress: Progress
) -> Counts:
    """Put the rows of ``source`` into the catalog ``items``; rejected ones go to a file in ``rejects_folder``.

    Raises:
        InvalidInput: a required or mapped column is missing, or a column cannot be a dimension.
    """
    taken = _taken(mapping, catalog.FIELDS, catalog.REQUIRED, source)
    used = _flat(taken.values())
    dimensions = mapping.dimensions
    if dimensions is None and not source.open_fields:
        dimensions = {name: name for name in source.columns if name not in used}
        if problem := problem_of_dimensions(dimensions):
            raise InvalidInput(f"{source.path}: {problem} Say with --map dimensions.NAME=COLUMN which ones there are.")
    if dimensions is not None and not source.open_fields:
        _require(dimensions.values(), source)
    wanted = None if dimensions is None else _flat([used, dimensions.values()])
    votes: list[pl.DataFrame] = []
    read = good = changed = 0

    with rejects_file(rejects_folder, "items", source.path) as rejects:
        for batch in source.batches(wanted, False):
            read += len(batch.rows) + len(batch.rejects)
            rejects.add(batch.rejects)
            if dimensions is None:
                given = _open_dimensions(batch, used)
            else:
                given = {ours: batch.columns[theirs] for ours, theirs in dimensions.items()}
            frame = _sift(_items(batch, taken, mapping, given), rejects, batch)
            good += len(frame)
            if mapping.most_frequent:
                votes.append(frame.group_by(pl.all()).len("votes"))
            else:
                changed += items.upsert(frame).touched
            progress(batch.share)
        if votes:
            changed = items.upsert(_most_frequent(votes)).touched
        return Counts(read, changed, good - changed, rejects.count, rejects.path if rejects.count else None)


def _events(batch: Batch, taken: Columns, mapping: EventMapping, now: datetime) -> Sifted:
    """Return the events in ``batch``, and what is wrong with them."""
    given = _given(batch, taken, mapping.constants)
    if mapping.context:
        given.pop("context", None)
    frame, problems = _checked(events.FIELDS, given, batch, REQUIRED_OF_ROWS, events.DEFAULTS, mapping)
    if mapping.context:
        context = _context(batch, mapping.context)
        frame = frame.with_columns(context=context.values)
        problems.append(("context", context.reasons))
    if mapping.unit_price:
        price = Number().column(batch.columns[mapping.unit_price])
        # money has no more than four decimals; without rounding 3 x 0.1 is 0.30000000000000004
        frame = frame.with_columns(value=(pl.col("quantity") * price.values).round(4))
        problems.append((mapping.unit_price, price.reasons))
    ahead = (frame["timestamp"] > now + events.MAX_AHEAD).fill_null(False)
    if ahead.any():
        problems.append(("timestamp", pl.select(pl.when(ahead).then(pl.lit(events.AHEAD))).to_series()))
    return frame.with_columns(row=batch.rows, context=pl.col("context").fill_null("{}")), problems


def _items(batch: Batch, taken: Columns, mapping: ItemMapping, dimensions: dict[str, Given]) -> Sifted:
    """Return the items in ``batch``, and what is wrong with them."""
    given = _given(batch, taken, mapping.constants)
    frame, problems = _checked(catalog.FIELDS, given, batch, catalog.REQUIRED, catalog.DEFAULTS, mapping)
    labels = Labels(mapping.list_separator)
    for name, column in dimensions.items():
        if problem := problem_of_dimensions([name]):
            problems.append((name, pl.Series([None if one is None else problem for one in column], dtype=pl.String)))
        else:
            checked = labels.column(column)
            frame = frame.with_columns(checked.values.alias(name))
            problems.append((name, checked.reasons))
    if mapping.title_case:
        frame = frame.with_columns(_title_case(frame["title"]))
    return frame, problems


def _taken(
    mapping: EventMapping | ItemMapping, fields: Iterable[str], required: Sequence[str], source: Source
) -> Columns:
    """Return the columns that each field is made of."""
    taken: Columns = {}
    for name in fields:
        if name in mapping.columns:
            theirs = mapping.columns[name]
            taken[name] = (theirs,) if isinstance(theirs, str) else theirs
            if name in required or not source.open_fields:
                _require(taken[name], source)
        elif name not in mapping.constants and (name in source.columns or source.open_fields):
            taken[name] = (name,)
    for name in required:
        if name not in taken and name not in mapping.constants:
            raise InvalidInput(
                f"{source.path} has no column {name}. It has: {', '.join(source.columns)}. Say with --map {name}=COLUMN"
                f" which one it is, or with --set {name}=VALUE what it is in every row."
            )
    return taken


def _require(names: Iterable[str], source: Source) -> None:
    for name in names:
        if name not in source.columns:
            raise InvalidInput(f"{source.path} has no column {name!r}. It has: {', '.join(source.columns)}.")


def _flat(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _given(batch: Batch, taken: Columns, constants: dict[str, Any]) -> dict[str, Given]:
    """Return each field as the file has it."""
    n = len(batch.rows)
    given: dict[str, Given] = {name: pl.Series([value] * n) for name, value in constants.items()}
    for name, columns in taken.items():
        parts = [batch.columns.get(column, pl.Series([None] * n, dtype=pl.Null)) for column in columns]
        if len(parts) == 1:
            given[name] = parts[0]
        else:
            texts = [Text(65_536).column(part).values.alias(str(i)) for i, part in enumerate(parts)]
            joined = pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True))
            given[name] = joined.to_series().replace("", None)
    return given


def _checked(
    fields: dict[str, Field[Any]],
    given: dict[str, Given],
    batch: Batch,
    required: Sequence[str],
    defaults: dict[str, Any],
    mapping: EventMapping | ItemMapping,
) -> Sifted:
    """Return one column for each of ``fields``, and their problems."""
    columns: list[pl.Series] = []
    problems: list[tuple[str, pl.Series | None]] = []
    missing_column = pl.Series([None] * len(batch.rows), dtype=pl.Null)
    for name, field in fields.items():
        kind = Time(mapping.time_format) if isinstance(field, Time) else field
        checked = kind.column(given.get(name, missing_column), mapping.time_zone)
        values, reasons = checked.values, checked.reasons
        if name in required and values.null_count():
            missing = pl.select(pl.when(values.is_null()).then(pl.lit(events.MISSING))).to_series()
            reasons = missing if reasons is None else pl.select(pl.coalesce(reasons, missing)).to_series()
        elif defaults.get(name):
            values = values.fill_null(defaults[name])
        columns.append(values.alias(name))
        problems.append((name, reasons))
    return pl.DataFrame(columns), problems


def _sift(rows: Sifted, rejects: Rejects, batch: Batch) -> pl.DataFrame:
    """Return the rows without a problem; write the others to ``rejects``."""
    frame, problems = rows
    found = [(field, reasons) for field, reasons in problems if reasons is not None]
    if not found:
        return frame
    first = pl.select(
        row=batch.rows,
        field=pl.coalesce(pl.when(reasons.is_not_null()).then(pl.lit(field)) for field, reasons in found),
        reason=pl.coalesce(reasons for _, reasons in found),
    )
    bad = first["reason"].is_not_null()
    given = batch.given(bad.arg_true().to_list())
    for (row, field, reason), values in zip(first.filter(bad).iter_rows(), given, strict=True):
        rejects.add([Reject(row, field, reason, values)])
    return frame.filter(~bad)


def _context(batch: Batch, names: dict[str, str]) -> Checked:
    """Return the columns ``names`` as JSON objects; whole numbers are codes, and so text, as they are in a CSV file."""
    columns = {name: batch.columns[column] for name, column in sorted(names.items())}
    series = {name: column for name, column in columns.items() if isinstance(column, pl.Series)}
    if len(series) < len(columns):
        rows = zip(*columns.values(), strict=True)
        return Attributes().column([dict(zip(columns, row, strict=True)) for row in rows])
    parts: list[pl.Series] = []
    reasons: pl.Series | None = None
    for name, column in series.items():
        if column.dtype == pl.Boolean:
            checked, text = Checked(column), column.cast(pl.String)
        elif column.dtype.is_float():
            checked = Attributes.number.column(column)
            text = checked.values.cast(pl.String)
        else:
            checked = Attributes.text.column(column)
            escaped = checked.values.str.replace_all("\\", "\\\\", literal=True)
            text = '"' + escaped.str.replace_all('"', '\\"', literal=True) + '"'
        parts.append((f'"{name}":' + text).alias(name))
        if checked.reasons is not None:
            why = pl.select(pl.when(checked.reasons.is_not_null()).then(pl.lit(Attributes.reason))).to_series()
            reasons = why if reasons is None else pl.select(pl.coalesce(reasons, why)).to_series()
    joined = pl.concat_str(pl.all(), separator=",", ignore_nulls=True)
    return Checked(pl.DataFrame(parts).select("{" + joined + "}").to_series(), reasons)


def _open_dimensions(batch: Batch, used: Sequence[str]) -> dict[str, Given]:
    """Return the dimensions that the rows of an open file name: in ``dimensions``, or beside the fields."""
    found = {name: column for name, column in batch.columns.items() if name not in used and name != "dimensions"}
    groups = batch.columns.get("dimensions", [])
    for name in _flat(group for group in groups if isinstance(group, dict)):
        found[name] = [group.get(name) if isinstance(group, dict) else None for group in groups]
    return found


def _most_frequent(votes: list[pl.DataFrame]) -> pl.DataFrame:
    """Return one row for each item: what most of its rows say, those with a title before those without."""
    rows = [name for name in votes[0].columns if name != "votes"]
    counted = pl.concat(votes).group_by(rows).agg(pl.col("votes").sum())
    best_last = counted.sort(pl.col("title").is_not_null(), "votes", *catalog.FIELDS)
    return best_last.unique("item_id", keep="last", maintain_order=True).drop("votes")


def _title_case(titles: pl.Series) -> pl.Series:
    def written(title: str) -> str:
        if title != title.upper():
            return title
        words = " ".join(title.lower().split())
        return re.sub(r"(?<![\d'a-z])(?<!\d )[a-z]", lambda letter: letter[0].upper(), words)

    known = {title: written(title) for title in titles.unique().drop_nulls().to_list()}
    return titles.replace_strict(known, return_dtype=pl.String)
