"""Files into the log and the catalog: every row is checked, what is bad is set aside with its reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from features import catalog, events
from features.catalog import DIMENSION, Catalog, problem_of_dimensions
from features.errors import InvalidInput
from features.event_log import NUMBERED, EventLog
from features.fields import Attributes, Checked, Field, Given, Time
from features.layout import Layout
from features.mapping import EventMapping, ItemMapping
from features.source import Batch, Reject, Source

Progress = Callable[[float], None]
"""Told how much of the file has been read, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of a file; for items, those that were changed count among the new."""

    read: int
    new: int
    repeated: int
    rejected: int
    rejects: Path | None
    """The file with the rejected rows, if any."""


def import_events(
    log: EventLog, source: Source, mapping: EventMapping, layout: Layout, now: datetime, progress: Progress
) -> Counts:
    """Append the rows of ``source`` to the history of ``log``; rejected ones go to a file in ``layout.rejects``.

    Raises:
        InvalidInput: a required or mapped column is missing, or no mapping is given and there are unknown columns.
    """
    plain = mapping.columns or mapping.constants or mapping.context or mapping.unit_price
    strict = not plain
    taken = _columns(mapping.columns, mapping.constants, events.FIELDS, _REQUIRED_OF_ROWS, source)
    extra = [*mapping.context.values(), *([mapping.unit_price] if mapping.unit_price else [])]
    _require(extra, source)
    if (
        strict
        and not source.open_fields
        and (unknown := [name for name in source.columns if name not in events.FIELDS])
    ):
        raise InvalidInput(
            f"{source.path} has columns that are no fields of an event: {', '.join(unknown)}. Fields are"
            f" {', '.join(events.FIELDS)}. Say with --map or --mapping which columns to take; the others are left out."
        )
    kinds = _written(events.FIELDS, mapping.time_format)
    wanted = list(events.FIELDS) if strict and source.open_fields else _flat([*taken.values(), extra])
    read = 0

    with _rejects(layout, "events", source.path) as rejects:

        def tables() -> Iterator[pa.Table]:
            nonlocal read
            for batch in source.batches(wanted, strict):
                read += len(batch.rows) + len(batch.rejects)
                given = _given(batch, taken, mapping.constants)
                price = None
                if mapping.unit_price:
                    price = kinds["value"].column(batch.columns[mapping.unit_price])
                if mapping.context:
                    given.pop("context", None)
                frame, problems = _check(kinds, given, batch, _REQUIRED_OF_ROWS, events.DEFAULTS, mapping.time_zone)
                if mapping.context:
                    context = _context(batch, mapping.context)
                    frame = frame.with_columns(context.values.alias("context"))
                    problems.append(("context", context.reasons))
                if price is not None:
                    frame = frame.with_columns(value=(pl.col("quantity") * price.values).round(4))
                    problems.append((mapping.unit_price or "", price.reasons))
                late = (frame["timestamp"] > now + events.MAX_AHEAD).fill_null(False)
                if late.any():
                    problems.append(("timestamp", pl.select(pl.when(late).then(pl.lit(events.AHEAD))).to_series()))
                frame = frame.with_columns(row=batch.rows, context=pl.col("context").fill_null("{}"))
                rejects.add(batch.rejects)
                yield rejects.sift(frame, problems, batch).select(NUMBERED.names).to_arrow().cast(NUMBERED)
                progress(batch.share)

        appended = log.append_tables(tables())
        for row in appended.conflicts.to_pylist():
            number = row.pop("row")
            rejects.add([Reject(number, "event_id", "names another event already", _without_nulls(row))])
        return Counts(read, appended.new, appended.repeated, rejects.count, rejects.path if rejects.count else None)


def import_items(items: Catalog, source: Source, mapping: ItemMapping, layout: Layout, progress: Progress) -> Counts:
    """Put the rows of ``source`` into the catalog ``items``; rejected ones go to a file in ``layout.rejects``.

    Raises:
        InvalidInput: a required or mapped column is missing, or a column cannot be a dimension.
    """
    taken = _columns(mapping.columns, mapping.constants, catalog.FIELDS, catalog.REQUIRED, source)
    named = mapping.dimensions
    if named is not None:
        _require(list(named.values()), source)
    used = set(_flat(list(taken.values())))
    if named is None and not source.open_fields:
        named = {name: name for name in source.columns if name not in used}
        if problem := problem_of_dimensions(named):
            raise InvalidInput(f"{source.path}: {problem} Say with --map which columns to take.")
    kinds = _written(catalog.FIELDS, mapping.time_format)
    labels = replace(DIMENSION, separator=mapping.list_separator)
    wanted = None if named is None else _flat([*taken.values(), list(named.values())])
    votes: list[pl.DataFrame] = []
    read = new = repeated = 0

    with _rejects(layout, "items", source.path) as rejects:
        for batch in source.batches(wanted, False):
            read += len(batch.rows) + len(batch.rejects)
            rejects.add(batch.rejects)
            frame, problems = _check(
                kinds,
                _given(batch, taken, mapping.constants),
                batch,
                catalog.REQUIRED,
                catalog.DEFAULTS,
                mapping.time_zone,
            )
            found = (
                _dimensions(batch, used)
                if named is None
                else {ours: batch.columns[theirs] for ours, theirs in named.items()}
            )
            for name, given in found.items():
                checked = labels.column(given)
                if problem := problem_of_dimensions([name]):
                    checked = Checked(
                        checked.values, pl.Series([None if one is None else problem for one in given], dtype=pl.String)
                    )
                frame = frame.with_columns(checked.values.alias(name))
                problems.append((name, checked.reasons))
            if mapping.title_case:
                frame = frame.with_columns(_title_case(frame["title"]))
            good = rejects.sift(frame, problems, batch)
            progress(batch.share)
            if mapping.most_frequent:
                votes.append(good.group_by(pl.all()).len("votes"))
                continue
            upserted = items.upsert(good)
            new += upserted.new + upserted.changed
            repeated += len(good) - upserted.new - upserted.changed
        if votes:
            upserted = items.upsert(_most_frequent(votes))
            new, repeated = upserted.new + upserted.changed, read - rejects.count - upserted.new - upserted.changed
        return Counts(read, new, repeated, rejects.count, rejects.path if rejects.count else None)


_REQUIRED_OF_ROWS: Final = tuple(name for name in events.REQUIRED if name != "event_id")


def _written(fields: dict[str, Field[Any]], time_format: str | None) -> dict[str, Field[Any]]:
    """Return ``fields`` for a file that writes times as ``time_format`` says."""
    return {name: Time(time_format) if isinstance(kind, Time) else kind for name, kind in fields.items()}


def _columns(
    mapped: dict[str, str | tuple[str, ...]],
    constants: dict[str, Any],
    fields: dict[str, Field[Any]],
    required: Sequence[str],
    source: Source,
) -> dict[str, tuple[str, ...]]:
    """Return the columns that each field is made of."""
    taken: dict[str, tuple[str, ...]] = {}
    for name in fields:
        if name in mapped:
            theirs = mapped[name]
            taken[name] = (theirs,) if isinstance(theirs, str) else theirs
        elif name not in constants and name in source.columns:
            taken[name] = (name,)
    _require(_flat([taken[name] for name in mapped]), source)
    for name in required:
        if name not in taken and name not in constants and source.columns:
            raise InvalidInput(
                f"{source.path} has no column {name}. It has: {', '.join(source.columns)}. Say with --map {name}=COLUMN"
                f" which one it is, or with --set {name}=VALUE what it is in every row."
            )
    return taken


def _require(names: Sequence[str], source: Source) -> None:
    for name in names:
        if name not in source.columns and source.columns:
            raise InvalidInput(f"{source.path} has no column {name!r}. It has: {', '.join(source.columns)}.")


def _flat(groups: list[Any]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _given(batch: Batch, taken: dict[str, tuple[str, ...]], constants: dict[str, Any]) -> dict[str, Given]:
    given: dict[str, Given] = {name: pl.Series([value] * len(batch.rows)) for name, value in constants.items()}
    for name, columns in taken.items():
        if len(columns) == 1:
            given[name] = batch.columns.get(columns[0], [None] * len(batch.rows))
        else:
            texts = pl.DataFrame([pl.Series(one, batch.columns[one], strict=False).cast(pl.String) for one in columns])
            joined = texts.select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True)).to_series()
            given[name] = joined.replace("", None)
    return given


Problems = list[tuple[str, pl.Series | None]]
"""Field -> why its value was rejected in each row; in the order in which they are to be reported."""


def _check(
    kinds: dict[str, Field[Any]],
    given: dict[str, Given],
    batch: Batch,
    required: Sequence[str],
    defaults: dict[str, Any],
    time_zone: str,
) -> tuple[pl.DataFrame, Problems]:
    """Return the checked columns, and the problems of each field."""
    columns: list[pl.Series] = []
    problems: Problems = []
    for name, kind in kinds.items():
        column = given.get(name)
        if column is None:
            column = pl.Series([None] * len(batch.rows), dtype=pl.Null)
        checked = kind.column(column, time_zone)
        values, reasons = checked.values, checked.reasons
        if name in required and values.null_count():
            missing = pl.select(pl.when(values.is_null()).then(pl.lit(events.MISSING))).to_series()
            reasons = missing if reasons is None else pl.select(pl.coalesce(reasons, missing)).to_series()
        elif name in defaults and values.null_count() and not isinstance(kind, Attributes):
            values = values.fill_null(defaults[name])
        columns.append(values.alias(name))
        problems.append((name, reasons))
    return pl.DataFrame(columns), problems


def _context(batch: Batch, names: dict[str, str]) -> Checked:
    """Return the columns ``names`` as JSON objects; whole numbers are codes, and so text, as they are in a CSV file."""
    if any(not isinstance(batch.columns[column], pl.Series) for column in names.values()):
        rows = zip(*(batch.columns[column] for column in names.values()), strict=True)
        return Attributes().column([_without_nulls(dict(zip(names, row, strict=True))) for row in rows])
    parts: list[pl.Series] = []
    reasons: pl.Series | None = None
    for name, column in sorted(names.items()):
        series = batch.columns[column]
        assert isinstance(series, pl.Series)
        if series.dtype == pl.Boolean or series.dtype.is_float():
            kind = Attributes.number if series.dtype.is_float() else None
            checked = kind.column(series) if kind else Checked(series)
            json_text = checked.values.cast(pl.String)
        else:
            checked = Attributes.text.column(series)
            json_text = (
                '"'
                + checked.values.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
                + '"'
            )
        parts.append((f'"{name}":' + json_text).alias(name))
        if checked.reasons is not None:
            why = pl.select(pl.when(checked.reasons.is_not_null()).then(pl.lit(Attributes.reason))).to_series()
            reasons = why if reasons is None else pl.select(pl.coalesce(reasons, why)).to_series()
    text = pl.DataFrame(parts).select("{" + pl.concat_str(pl.all(), separator=",", ignore_nulls=True) + "}").to_series()
    return Checked(text, reasons)


def _dimensions(batch: Batch, used: set[str]) -> dict[str, Given]:
    """Return the dimensions that the rows of an open file name: in ``dimensions``, or beside the fields."""
    found = {name: column for name, column in batch.columns.items() if name not in used and name != "dimensions"}
    groups = batch.columns.get("dimensions", [])
    for name in _flat([group for group in groups if isinstance(group, dict)]):
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
        lower = title.lower()
        return re.sub(r"(?<![\d'a-z])(?<!\d )[a-z]", lambda letter: letter[0].upper(), lower)

    known = {title: written(title) for title in titles.unique().drop_nulls().to_list()}
    return titles.replace_strict(known, return_dtype=pl.String)


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


class _Rejects:
    """The file of rejected rows, as it is written."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self.count = 0
        self._file = file

    def add(self, rejects: Sequence[Reject]) -> None:
        """Write ``rejects``."""
        for reject in rejects:
            line = {"row": reject.row, "field": reject.field, "reason": reject.reason, "given": reject.given}
            self._file.write(json.dumps(line, ensure_ascii=True, default=str) + "\n")
        self.count += len(rejects)

    def sift(self, frame: pl.DataFrame, problems: Problems, batch: Batch) -> pl.DataFrame:
        """Return the rows of ``frame`` without a problem; write the others."""
        found = [(field, reasons) for field, reasons in problems if reasons is not None]
        if not found:
            return frame
        first = pl.select(
            field=pl.coalesce(pl.when(reasons.is_not_null()).then(pl.lit(field)) for field, reasons in found),
            reason=pl.coalesce(reasons for _, reasons in found),
            row=batch.rows,
        )
        bad = first["reason"].is_not_null()
        places = bad.arg_true().to_list()
        self.add(
            [
                Reject(row, field, reason, given)
                for (field, reason, row), given in zip(first.filter(bad).iter_rows(), batch.given(places), strict=True)
            ]
        )
        return frame.filter(~bad)


@contextmanager
def _rejects(layout: Layout, kind: str, path: Path) -> Iterator[_Rejects]:
    """Give the file for what ``path`` has of bad rows; it replaces that of an earlier import when this one ends."""
    layout.rejects.mkdir(parents=True, exist_ok=True)
    final = layout.rejects / f"{kind}-{path.name}.jsonl"
    temporary = final.with_suffix(".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            rejects = _Rejects(final, file)
            yield rejects
        if rejects.count:
            temporary.replace(final)
        else:
            final.unlink(missing_ok=True)
    finally:
        temporary.unlink(missing_ok=True)
