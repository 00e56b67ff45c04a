"""Tables that an analyst brings, from a Parquet or CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from features.errors import InvalidInput, NotFound

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""What stands for a missing number in a text file, in lower case."""
MOST_SAID = 200
"""So many characters of what is wrong with a file are shown."""


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of ``path``, in order.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is neither Parquet nor UTF-8 CSV, or it is damaged.
    """
    with _opened(path) as is_parquet:
        if is_parquet:
            return list(pq.read_schema(path).names)
        with csv.open_csv(path) as reader:
            return list(reader.schema.names)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return ``columns`` (all of them where not given) of ``path``; those of a CSV file are text.

    As text, an id keeps its leading zeros and a value may be called "None".

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is neither Parquet nor UTF-8 CSV, it is damaged, a row is longer or shorter than the header, a
            column is absent or there twice, or it holds several values in a row.
    """
    names = column_names(path)
    wanted = list(dict.fromkeys(names if columns is None else columns))
    check_columns(names, wanted, str(path))
    with _opened(path) as is_parquet:
        if is_parquet:
            table = pq.read_table(path, columns=wanted, partitioning=None)
            for field in table.schema:
                if pa.types.is_nested(field.type):
                    raise InvalidInput(f"{path}: column {field.name!r} holds {field.type}; one value in a row is due.")
            return table.to_pandas()
        # Not by pandas, which ignores what a row has beyond the header once columns are chosen.
        as_text = csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()))
        return csv.read_csv(path, convert_options=as_text).to_pandas()


def check_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Check that each of ``wanted`` is among ``names`` once.

    Raises:
        InvalidInput: one is not; ``where`` names the table.
    """
    absent = [name for name in wanted if name not in names]
    if absent:
        raise InvalidInput(
            f"{where} has no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, names)) or 'none'}."
        )
    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise InvalidInput(f"{where} has several columns {repeated[0]!r}; rename all but one.")


@contextmanager
def _opened(path: Path) -> Iterator[bool]:
    """Yield whether ``path`` is Parquet and not CSV, and say what is wrong with it where it cannot be read."""
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    kind = path.suffix.lower()
    if kind not in {".parquet", ".csv"}:
        raise InvalidInput(f"{path} is neither a .parquet nor a .csv file; convert it to one of them.")
    try:
        yield kind == ".parquet"
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except (pa.ArrowException, OSError) as error:
        if "UTF8" in str(error):
            raise InvalidInput(f"{path} is not UTF-8 text; save it as UTF-8.") from None
        # What Arrow says may quote what it stumbled over, which may be anything.
        said = "".join(one if one.isprintable() else " " for one in str(error))[:MOST_SAID].strip(" .")
        raise InvalidInput(f"{path} cannot be read as {kind}: {said}.") from None


def numbers(column: pd.Series, where: str) -> NDArray[np.float64]:
    """Return ``column`` as numbers, nan where it is missing; true is 1 and false is 0; shape (n,).

    Raises:
        InvalidInput: a value is not a number; ``where`` names the table.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    text = column.astype(str).str.strip().str.lower().replace({"true": "1", "false": "0"})
    parsed = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = np.isnan(parsed) & ~missing(column)
    if bad.any():
        raise InvalidInput(
            f"{where}: {int(bad.sum())} values of column {column.name!r} are not numbers (first: {row(column, bad)})."
        )
    return parsed


def row(column: pd.Series, bad: NDArray[np.bool_]) -> str:
    """Return which row holds the first ``bad`` value of ``column``, from 1 without the header, and what it holds."""
    at = int(np.argmax(bad))
    value = column.iloc[at]
    return f"row {column.index[at] + 1}, {value.item() if isinstance(value, np.generic) else value!r}"


def names(column: pd.Series, where: str) -> NDArray[np.object_]:
    """Return ``column`` as text, in which "None" is a name like others; shape (n,).

    Raises:
        InvalidInput: a value is missing; ``where`` names the table.
    """
    bad = column.isna().to_numpy(bool) | (column.astype(str).str.strip() == "").to_numpy(bool)
    if bad.any():
        raise InvalidInput(
            f"{where}: {int(bad.sum())} values of column {column.name!r} are missing (first: {row(column, bad)})."
        )
    return column.astype(str).to_numpy(object)


def missing(column: pd.Series) -> NDArray[np.bool_]:
    """Return where ``column`` has no number; shape (n,)."""
    blank = column.isna().to_numpy(bool)
    if not pd.api.types.is_numeric_dtype(column):
        blank = blank | column.astype(str).str.strip().str.lower().isin(MISSING).to_numpy(bool)
    return blank
