"""The rows of JSONL files: many at once, and line by line where something is wrong with one of them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import polars as pl
import pyarrow as pa
from pyarrow.json import ParseOptions, ReadOptions, read_json

from features.batch import Batch, start_of_text
from features.fields import Given
from features.rejects import NOT_UTF8, Reject

BATCH_ROWS: Final = 100_000
FIRST_ROWS: Final = 1_000
"""So many lines tell what the others are like."""
LINES_AT_ONCE: Final = 1_000
BLOCK_BYTES: Final = 1 << 20
LEAVES: Final = 100
"""Lines of more different names are read one by one: a table has a cell for each name on each line."""
EXACT: Final = 2**53
"""Below it, a whole number is the same as a float."""


def names_in(path: Path) -> tuple[str, ...]:
    """Return the names that the first lines use."""
    with path.open("rb") as file:
        return tuple(_columns(_Objects.on(list(islice(_lines(file), FIRST_ROWS)), 1, None).records))


def batches_in(path: Path, wanted: Sequence[str] | None, strict: bool) -> Iterator[Batch]:
    """Return the rows in the columns ``wanted`` (None for all); with ``strict``, other names make one a reject."""
    size, done, row = path.stat().st_size, 0, 1
    allowed = wanted if strict else None
    shape: Shape = {}
    with path.open("rb") as file:
        rest = _lines(file)
        while lines := list(islice(rest, BATCH_ROWS)):
            if row == 1:
                shape = _shape(_columns(_Objects.on(lines[:FIRST_ROWS], row, allowed).records), {})
            together = None if wanted is None else _together(lines, shape, strict)
            columns: dict[str, Given]
            rejects: list[Reject] = []
            if together is not None:
                columns = {**together}
                rows = pl.int_range(row, row + len(lines), eager=True)
            else:
                objects = _Objects.on(lines, row, allowed)
                columns, rejects = _columns(objects.records), objects.rejects
                rows = pl.Series(objects.numbers, dtype=pl.Int64)
                shape = _shape(columns, shape)
            if wanted is not None:
                columns = {name: columns.get(name, pl.Series([None] * len(rows), dtype=pl.Null)) for name in wanted}
            done += sum(map(len, lines))
            yield Batch(rows, columns, min(done / size, 1.0), rejects, partial(_row, lines, row))
            row += len(lines)


def _lines(file: BinaryIO) -> BinaryIO:
    file.seek(start_of_text(file))
    return file


def _columns(records: Sequence[dict[str, Any] | None]) -> dict[str, Given]:
    names = dict.fromkeys(name for record in records if record for name in record)
    return {name: _typed([record.get(name) if record else None for record in records]) for name in names}


def _row(lines: Sequence[bytes], first: int, number: int) -> dict[str, Any]:
    return _record(lines[number - first]) or {}


Shape = dict[str, pa.DataType]
"""The names that lines use, with the types of their values."""


def _shape(columns: Mapping[str, Given], before: Shape) -> Shape:
    """Return the types of ``columns``, and those of ``before`` that they do not contradict."""
    shape = dict(before)
    for name, column in columns.items():
        known = before.get(name, pa.null())
        if isinstance(column, pl.Series):
            kind = _TYPES_OF_ARROW[column.dtype]
        elif (kinds := set(map(type, column)) - {type(None)}) == {dict}:
            inner = _shape(
                _columns(column), {part.name: part.type for part in known} if pa.types.is_struct(known) else {}
            )
            kind = pa.struct(
                [
                    (part, pa.float64() if one == pa.int64() else one)
                    for part, one in inner.items()
                    if not one.num_fields
                ]
            )
        elif kinds == {int, float}:
            kind = pa.float64()
        else:
            continue
        if {known, kind} == {pa.int64(), pa.float64()}:
            kind = pa.float64()
        shape[name] = known if kind == pa.null() else kind
    return shape if sum(one.num_fields or 1 for one in shape.values()) <= LEAVES else before


def _together(lines: list[bytes], shape: Shape, strict: bool) -> dict[str, pl.Series] | None:
    """Return the objects on ``lines``, one on each, as columns; None where it takes another look to tell.

    What is told is what Python's own reader tells, which is why all is refused that Arrow reads in another way.
    """
    end = b"}\r\n" if lines[0].endswith(b"\r\n") else b"}\n"
    block = b"".join(lines)
    if not block.endswith(b"\n"):
        block += end[1:]
    # between a } and a { no object goes on: each line is whole
    whole = block.startswith(b"{") and block.endswith(end) and block.count(end + b"{") == len(lines) - 1
    if not whole:
        return None
    try:
        block.decode()
        table = read_json(
            pa.BufferReader(block),
            ReadOptions(block_size=max(BLOCK_BYTES, len(block) // 8)),
            ParseOptions(explicit_schema=pa.schema(shape.items()), unexpected_field_behavior="error"),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
    if table.num_rows != len(lines):
        return None
    columns = pl.DataFrame(table).get_columns()
    for column in columns:
        parts = column.struct.unnest().get_columns() if column.dtype == pl.Struct else [column]
        if not all(part.is_finite().all() for part in parts if part.dtype.is_float()):
            return None  # NaN and the like have several spellings
        if column.dtype.is_float() and not (column.abs() < EXACT).all():
            return None
        if column.dtype.is_float() and not strict and (column == column.floor()).any():
            return None  # a mapping may tell 1 from 1.0, and Arrow does not
    return {column.name: column for column in columns}


_END_OF_LINE: Final = "end of line d8a1f3c2"
_BETWEEN: Final = f',"{_END_OF_LINE}",'
_decode = json.JSONDecoder().raw_decode  # half the time of json.loads


@dataclass(slots=True)
class _Objects:
    """Objects with the numbers of their lines, and the lines that hold none."""

    numbers: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @classmethod
    def on(cls, lines: list[bytes], first: int, allowed: Sequence[str] | None) -> Self:
        """Return what is on ``lines``, the first of the number ``first``; no names but ``allowed`` may occur."""
        objects = cls()
        with _uncollected():
            for start in range(0, len(lines), LINES_AT_ONCE):
                objects._add(lines[start : start + LINES_AT_ONCE], first + start, allowed)
        return objects

    def _add(self, lines: list[bytes], first: int, allowed: Sequence[str] | None) -> None:
        together = _decoded_together(lines)
        if together is not None and (allowed is None or set().union(*together).issubset(allowed)):
            self.numbers.extend(range(first, first + len(lines)))
            self.records.extend(together)
            return
        for number, line in enumerate(lines, first):  # only where something is wrong, each is looked at
            try:
                record = _record(line)
            except ValueError as error:
                self.rejects.append(Reject(number, None, str(error), line.decode(errors="replace").strip()))
                continue
            if record is None:
                continue
            if allowed is not None and (unknown := record.keys() - set(allowed)):
                reason = f"is not known; allowed are {', '.join(allowed)}"
                self.rejects.append(Reject(number, min(unknown), reason, record))
            else:
                self.numbers.append(number)
                self.records.append(record)


def _decoded_together(lines: list[bytes]) -> list[dict[str, Any]] | None:
    """Return the objects on ``lines``, one on each; None where it takes another look to tell."""
    try:
        text = b"".join(lines).decode().removesuffix("\n")
    except UnicodeDecodeError:
        return None
    if _END_OF_LINE in text:
        return None
    try:
        found, end = _decode(array := f"[{text.replace(chr(10), _BETWEEN)}]")
    except (ValueError, RecursionError):
        return None
    # what begins on one line and ends on another has swallowed the text between them
    whole = end == len(array) and found[1::2] == [_END_OF_LINE] * (len(lines) - 1)
    return found[::2] if whole and set(map(type, found[::2])) == {dict} else None


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the object on ``line``, None for a blank line; a ValueError says why it cannot be read."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(NOT_UTF8) from None
    if not text:
        return None
    try:
        record, end = _decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if end < len(text):
        raise ValueError(f"is not JSON: more follows after column {end}")
    if not isinstance(record, dict):
        raise ValueError("must be an object")
    return record


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from going through the rows that were read again and again: they hold no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_TYPES: Final = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean}
_TYPES_OF_ARROW: Final[dict[Any, pa.DataType]] = {
    pl.String: pa.string(),
    pl.Int64: pa.int64(),
    pl.Float64: pa.float64(),
    pl.Boolean: pa.bool_(),
    pl.Null: pa.null(),
}


def _typed(values: list[Any]) -> Given:
    """Return ``values`` as a series where they are of one type, as they are otherwise."""
    types = set(map(type, values)) - {type(None)}
    if not types:
        return pl.Series(values, dtype=pl.Null)
    if len(types) == 1 and (dtype := _TYPES.get(types.pop())) is not None:
        try:
            return pl.Series(values, dtype=dtype)
        except (OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError, TypeError):
            pass  # a number too large, half of a surrogate pair: checked one by one
    return values
