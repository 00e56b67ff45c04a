"""The rows of CSV files: many at once, and record by record where something is wrong with one of them."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl
import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from features.batch import Batch, start_of_text
from features.errors import InvalidInput
from features.fields import Given
from features.rejects import NOT_UTF8, Reject

BLOCK_BYTES: Final = 4 << 20
"""So much is read at once; a record may be longer."""

Record = list[str] | str
"""The cells of a record; where it cannot be read, why not."""


def names_in(path: Path, delimiter: str) -> tuple[str, ...]:
    """Return the names of the columns, which are the first record.

    Raises:
        InvalidInput: it is not text.
    """
    with path.open("rb") as file:
        records, _ = _records(file, start_of_text(file), 1, delimiter)
    names = records[0] if records else []
    if isinstance(names, str) or not _is_text(names):
        raise InvalidInput(f"{path}: the first line, which must name the columns, is not UTF-8 text.")
    return tuple(names)


def batches_in(path: Path, names: Sequence[str], delimiter: str, wanted: Sequence[str] | None) -> Iterator[Batch]:
    """Return the records that follow on the names, in the columns ``wanted`` (None for all)."""
    size, row = path.stat().st_size, 1
    with path.open("rb") as file:
        _, place = _records(file, start_of_text(file), 1, delimiter)
        while block := _block(file, place):
            rejects: list[Reject] = []
            whole = block.endswith(b"\n") or place + len(block) == size
            frame = _together(block, names, delimiter) if whole else None
            if frame is not None:
                rows = pl.int_range(row, row + len(frame), eager=True)
                row, place = row + len(frame), place + len(block)
            else:
                records, place = _records(file, place, len(block), delimiter)
                problems = [_problem(record, len(names)) for record in records]
                for number, (record, problem) in enumerate(zip(records, problems, strict=True), row):
                    if problem and record:  # a blank line holds nothing
                        rejects.append(Reject(number, None, problem, _shown(record)))
                good = [place for place, problem in enumerate(problems) if not problem]
                rows = pl.Series(good, dtype=pl.Int64) + row
                cells = list(zip(*(records[place] for place in good), strict=True)) or [()] * len(names)
                frame = pl.DataFrame(dict(zip(names, cells, strict=True)), schema=dict.fromkeys(names, pl.String))
                row += len(records)
            columns: dict[str, Given] = {
                name: frame[name].replace("", None) for name in (names if wanted is None else wanted)
            }
            yield Batch(rows, columns, place / size, rejects)


def _block(file: BinaryIO, place: int) -> bytes:
    """Return what comes after ``place``, to where the last record in it seems to end."""
    file.seek(place)
    block = file.read(BLOCK_BYTES)
    if len(block) < BLOCK_BYTES:
        return block
    end = block.rfind(b"\n") + 1
    quotes = block.count(b'"', 0, end)
    while quotes % 2:  # this end of line is inside of quotes
        before = block.rfind(b"\n", 0, end - 1) + 1
        quotes -= block.count(b'"', before, end)
        end = before
    return block[:end] or block


def _together(block: bytes, names: Sequence[str], delimiter: str) -> pl.DataFrame | None:
    """Return the records of ``block``, a row each; None where it takes another look to tell."""
    if not names or not delimiter.isascii() or block.startswith(codecs.BOM_UTF8):  # which Arrow would leave out
        return None
    try:
        block.decode()
        table = read_csv(
            pa.BufferReader(block),
            ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False),
            ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string())),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
    frame = pl.DataFrame(table)
    blank_or_long = frame.select(
        pl.all_horizontal(pl.all() == "").any()
        | (pl.max_horizontal(pl.all().str.len_bytes().max()) > csv.field_size_limit())
    )
    ends_in_quotes = frame.item(-1, -1).endswith(("\n", "\r"))
    return None if blank_or_long.item() or ends_in_quotes else frame


def _records(file: BinaryIO, place: int, length: int, delimiter: str) -> tuple[list[Record], int]:
    """Return the records that begin in the ``length`` bytes after ``place``, and the place after the last of them."""
    file.seek(place)
    end = place + length
    text = TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")

    def lines() -> Iterator[str]:
        nonlocal place
        for line in text:
            place += len(line) if line.isascii() else len(line.encode(errors="surrogateescape"))
            yield line

    records: list[Record] = []
    reader = csv.reader(lines(), delimiter=delimiter)
    while place < end:
        try:
            records.append(next(reader))
        except csv.Error as error:
            records.append(str(error))
        except StopIteration:
            break
    text.detach()
    return records, place


def _problem(record: Record, n: int) -> str | None:
    if isinstance(record, str):
        return f"cannot be read: {record}"
    if len(record) != n:
        return f"has {len(record)} cells, not {n}"
    return None if _is_text(record) else NOT_UTF8


def _is_text(record: list[str]) -> bool:
    text = "".join(record)
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _shown(record: Record) -> list[str] | None:
    if isinstance(record, str):
        return None
    return [cell.encode(errors="surrogateescape").decode(errors="replace") for cell in record]
