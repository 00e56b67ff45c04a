"""Files of rows, read in batches: JSONL, CSV and Parquet."""

from __future__ import annotations

import codecs
import csv
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InvalidInput, NotFound
from features.fields import Given
from features.rejects import Reject

BATCH_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file.

    Attributes:
        rows: Their numbers, int64; n of them.
        columns: Name -> n values, null where missing.
        share: How much of the file has been read with this batch, from 0 to 1.
        rejects: The rows among them that could not be read.
    """

    rows: pl.Series
    columns: dict[str, Given]
    share: float
    rejects: list[Reject] = field(default_factory=list)

    def given(self, places: list[int]) -> list[dict[str, Any]]:
        """Return the rows at ``places`` as they were read, without what is missing."""
        parts = {
            name: column.gather(places).to_list() if isinstance(column, pl.Series) else [column[i] for i in places]
            for name, column in self.columns.items()
        }
        return [{name: part[i] for name, part in parts.items() if part[i] is not None} for i in range(len(places))]


@dataclass(frozen=True, slots=True)
class Source:
    """A file of rows.

    Attributes:
        path: The file.
        columns: The names of its columns; of a JSONL file, those of the first batch.
        open_fields: Whether each row has columns of its own, as in JSONL.
        batches: Returns its rows; takes the columns that are wanted (None for all), and whether others make a row a
            reject.
    """

    path: Path
    columns: tuple[str, ...]
    open_fields: bool
    batches: Callable[[Sequence[str] | None, bool], Iterator[Batch]]


def open_source(path: Path, delimiter: str = ",") -> Source:
    """Return the file at ``path``, known by the end of its name.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is empty, of no known kind, or damaged.
    """
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise InvalidInput(f"{path} is of no known kind; allowed are files ending in {', '.join(readers)}.")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    if not start:
        raise InvalidInput(f"{path} is empty.")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput(f"{path} is UTF-16; save it as UTF-8.")
    source = readers[path.suffix.lower()](path, "\t" if path.suffix.lower() == ".tsv" else delimiter)
    if twice := sorted({name for name in source.columns if source.columns.count(name) > 1}):
        raise InvalidInput(f"{path} has several columns of the name {', '.join(map(repr, twice))}.")
    return source


def _parquet(path: Path, _: str) -> Source:
    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidInput(f"{path} is not a Parquet file: {error}.") from None

    def batches(wanted: Sequence[str] | None, strict: bool) -> Iterator[Batch]:
        row, wanted = 1, names if wanted is None else wanted
        with pq.ParquetFile(path) as file:
            total = max(file.metadata.num_rows, 1)
            try:
                for part in file.iter_batches(BATCH_ROWS, columns=list(wanted)):
                    frame = pl.DataFrame(part)
                    rows = pl.int_range(row, row + len(frame), eager=True)
                    row += len(frame)
                    yield Batch(rows, {name: frame[name] for name in wanted}, (row - 1) / total)
            except (pa.ArrowInvalid, OSError) as error:
                raise InvalidInput(f"{path} is damaged after row {row - 1}: {error}.") from None

    return Source(path, names, False, batches)


def _csv(path: Path, delimiter: str) -> Source:
    def text(file: BinaryIO) -> TextIOWrapper:
        return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")

    with path.open("rb") as raw, text(raw) as file:
        names = next(iter(_records(csv.reader(file, delimiter=delimiter), 1)), [])
    if isinstance(names, str) or not _is_text("".join(names)):
        raise InvalidInput(f"{path}: the first line, which must name the columns, is not UTF-8 text.")

    def batches(wanted: Sequence[str] | None, strict: bool) -> Iterator[Batch]:
        wanted = names if wanted is None else wanted
        size = path.stat().st_size
        with path.open("rb") as raw, text(raw) as file:
            reader = csv.reader(file, delimiter=delimiter)
            next(reader)
            row = 1
            while records := _records(reader, BATCH_ROWS):
                rows = list(range(row, row + len(records)))
                row += len(records)
                rejects: list[Reject] = []
                # one look at all of them: only where something is wrong is each looked at
                alike = set(map(type, records)) == {list} and set(map(len, records)) == {len(names)}
                if not alike or not _is_text("".join(map("".join, records))):
                    problems = [_problem(record, len(names)) for record in records]
                    for number, record, problem in zip(rows, records, problems, strict=True):
                        if problem and record:
                            rejects.append(Reject(number, None, problem, _shown(record)))
                    rows = [number for number, problem in zip(rows, problems, strict=True) if not problem]
                    records = [record for record, problem in zip(records, problems, strict=True) if not problem]
                cells = list(zip(*records, strict=True)) or [()] * len(names)
                columns: dict[str, Given] = {}
                for name in wanted:
                    column = pl.Series(name, cells[names.index(name)], dtype=pl.String)
                    columns[name] = column.replace("", None)  # an empty cell holds nothing
                yield Batch(pl.Series(rows, dtype=pl.Int64), columns, min(raw.tell() / size, 1.0), rejects)

    return Source(path, tuple(names), False, batches)


def _records(reader: Iterator[list[str]], n: int) -> list[list[str] | str]:
    """Return the next ``n`` records; for one that cannot be read, why not."""
    records: list[list[str] | str] = []
    with _uncollected():
        while len(records) < n:
            try:
                records.extend(islice(reader, n - len(records)))  # keeps what came before an error
                break
            except csv.Error as error:
                records.append(str(error))
    return records


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


def _problem(record: list[str] | str, n: int) -> str | None:
    if isinstance(record, str):
        return f"cannot be read: {record}"
    if len(record) != n:
        return f"has {len(record)} cells, not {n}"
    return None if _is_text("".join(record)) else NOT_UTF8


NOT_UTF8: Final = "is not UTF-8 text"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(record: list[str] | str) -> list[str] | None:
    if isinstance(record, str):
        return None
    return [cell.encode(errors="surrogateescape").decode(errors="replace") for cell in record]


def _jsonl(path: Path, _: str) -> Source:
    def read(wanted: Sequence[str] | None, strict: bool, batch_rows: int) -> Iterator[Batch]:
        size, done, row = path.stat().st_size, 0, 0
        allowed = wanted if strict else None
        with path.open("rb") as file:
            file.seek(len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0)
            while lines := list(islice(file, batch_rows)):
                objects = _Objects()
                with _uncollected():
                    for start in range(0, len(lines), LINES_AT_ONCE):
                        objects.add(lines[start : start + LINES_AT_ONCE], row + start + 1, allowed)
                row += len(lines)
                done += sum(map(len, lines))
                named = dict.fromkeys(name for one in objects.records for name in one) if wanted is None else wanted
                there = set().union(*objects.records)
                columns = {
                    name: _typed([record.get(name) if name in there else None for record in objects.records])
                    for name in named
                }
                yield Batch(pl.Series(objects.numbers, dtype=pl.Int64), columns, min(done / size, 1.0), objects.rejects)

    first = next(read(None, False, 1000), None)
    return Source(
        path, tuple(first.columns) if first else (), True, lambda wanted, strict: read(wanted, strict, BATCH_ROWS)
    )


LINES_AT_ONCE: Final = 1_000
_END_OF_LINE: Final = "end of line d8a1f3c2"
_BETWEEN: Final = f',"{_END_OF_LINE}",'
_decode = json.JSONDecoder().raw_decode  # half the time of json.loads


@dataclass(slots=True)
class _Objects:
    """Objects with the numbers of their lines, and the lines that hold none."""

    numbers: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def add(self, lines: list[bytes], first: int, allowed: Sequence[str] | None) -> None:
        """Read ``lines``, of which the first has the number ``first``; no names but those ``allowed`` may occur."""
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


_TYPES: Final = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean}


def _typed(values: list[Any]) -> Given:
    """Return ``values`` as a series where they are of one type, as they are otherwise."""
    types = set(map(type, values)) - {type(None)}
    if not types:
        return pl.Series([None] * len(values), dtype=pl.Null)
    if len(types) == 1 and (dtype := _TYPES.get(types.pop())) is not None:
        try:
            return pl.Series(values, dtype=dtype)
        except (OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError, TypeError):
            pass  # a number too large, half of a surrogate pair: checked one by one
    return values
