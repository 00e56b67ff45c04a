"""Files of rows, read in batches: JSONL, CSV and Parquet."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features import csv_rows, jsonl_rows
from features.batch import Batch
from features.errors import InvalidInput, NotFound

BATCH_ROWS: Final = 100_000


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
    names = csv_rows.names_in(path, delimiter)
    return Source(path, names, False, lambda wanted, _: csv_rows.batches_in(path, names, delimiter, wanted))


def _jsonl(path: Path, _: str) -> Source:
    names = jsonl_rows.names_in(path)
    return Source(path, names, True, lambda wanted, strict: jsonl_rows.batches_in(path, wanted, strict))
