"""The rows of a file that were left out, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

NOT_UTF8: Final = "is not UTF-8 text"


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was left out.

    Attributes:
        row: Its number in the file: the line of a JSONL file, the record of the others; the first is 1.
        field: The field or column at fault; None where the row as a whole cannot be read.
        reason: What is allowed there.
        given: The row.
    """

    row: int
    field: str | None
    reason: str
    given: Any


class Rejects:
    """The file of rejected rows, as it is written."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.count = 0
        self._file = file

    def add(self, rejects: Sequence[Reject]) -> None:
        """Write ``rejects``."""
        for reject in rejects:
            line = {"row": reject.row, "field": reject.field, "reason": reject.reason, "given": reject.given}
            self._file.write(json.dumps(line, ensure_ascii=True, default=str) + "\n")
        self.count += len(rejects)


@contextmanager
def rejects_file(folder: Path, kind: str, path: Path) -> Iterator[Rejects]:
    """Give the file in ``folder`` for the bad rows of ``path``; it replaces that of an earlier import at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{kind}-{path.name}.jsonl"
    temporary = final.with_suffix(".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            rejects = Rejects(final, file)
            yield rejects
        if rejects.count:
            temporary.replace(final)
        else:
            final.unlink(missing_ok=True)
    finally:
        temporary.unlink(missing_ok=True)
