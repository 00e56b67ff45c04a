"""Some rows of a file, as columns."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import polars as pl

from features.fields import Given
from features.rejects import Reject


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file.

    Attributes:
        rows: Their numbers, int64; n of them.
        columns: Name -> n values, null where missing.
        share: How much of the file has been read with this batch, from 0 to 1.
        rejects: The rows among them that could not be read.
        row: Returns the row of a number as the file has it; None where the columns have it so.
    """

    rows: pl.Series
    columns: dict[str, Given]
    share: float
    rejects: list[Reject] = field(default_factory=list)
    row: Callable[[int], dict[str, Any]] | None = None

    def given(self, places: list[int]) -> list[dict[str, Any]]:
        """Return the rows at ``places`` as they were read, without what is missing."""
        if self.row is not None:
            read = map(self.row, self.rows.gather(places))
            return [{name: row[name] for name in self.columns if row.get(name) is not None} for row in read]
        parts = {
            name: column.gather(places).to_list() if isinstance(column, pl.Series) else [column[i] for i in places]
            for name, column in self.columns.items()
        }
        return [{name: part[i] for name, part in parts.items() if part[i] is not None} for i in range(len(places))]


def start_of_text(file: BinaryIO) -> int:
    """Return where the text in ``file``, read from its beginning, begins: behind the mark of UTF-8, if there is one."""
    return len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
