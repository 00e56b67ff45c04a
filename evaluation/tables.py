"""Tables that an analyst brings, from a Parquet or CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import InvalidInput, NotFound

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""What stands for a missing value in a text file, in lower case."""


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return ``columns`` (all of them where not given) of ``path``; those of a CSV file are text.

    As text, an id keeps its leading zeros and a value may be called "None".

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is neither Parquet nor UTF-8 CSV, it is damaged, or a column is absent.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    kind = path.suffix.lower()
    if kind not in {".parquet", ".csv"}:
        raise InvalidInput(f"{path} is neither a .parquet nor a .csv file; convert it to one of them.")
    try:
        if kind == ".parquet":
            names = pq.read_schema(path).names
        else:
            names = pd.read_csv(path, nrows=0, encoding="utf-8").columns.tolist()
        wanted = list(dict.fromkeys(names if columns is None else columns))
        absent = [name for name in wanted if name not in names]
        if absent:
            raise InvalidInput(
                f"{path} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, names)) or 'none'}."
            )
        if kind == ".parquet":
            return pd.read_parquet(path, columns=wanted)
        return pd.read_csv(path, usecols=wanted, dtype=str, keep_default_na=False, encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x} cannot be read; save it as UTF-8."
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pa.ArrowInvalid) as error:
        raise InvalidInput(f"{path} cannot be read as {kind}: {str(error).strip()}.") from None


def numbers(column: pd.Series, where: str) -> NDArray[np.float64]:
    """Return ``column`` as numbers, nan where it is missing; shape (n,).

    Raises:
        InvalidInput: a value is not a number; ``where`` names the table.
    """
    parsed = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = np.isnan(parsed) & ~missing(column)
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidInput(
            f"{where}: {int(bad.sum())} values of column {column.name!r} are not numbers (first: row {row + 1}, "
            f"{column.iloc[row]!r})."
        )
    return parsed


def names(column: pd.Series, where: str) -> NDArray[np.object_]:
    """Return ``column`` as text; shape (n,).

    Raises:
        InvalidInput: a value is missing; ``where`` names the table.
    """
    bad = missing(column)
    if bad.any():
        row = int(np.argmax(bad)) + 1
        raise InvalidInput(
            f"{where}: {int(bad.sum())} values of column {column.name!r} are missing (first: row {row})."
        )
    return column.astype(str).to_numpy(object)


def missing(column: pd.Series) -> NDArray[np.bool_]:
    """Return where ``column`` has no value; shape (n,)."""
    blank = column.isna().to_numpy(bool)
    if not pd.api.types.is_numeric_dtype(column):
        blank = blank | column.astype(str).str.strip().str.lower().isin(MISSING).to_numpy(bool)
    return blank
