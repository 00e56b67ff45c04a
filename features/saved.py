"""Arrays and tables that were saved as files: what is missing or damaged is told as such, whoever reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import Corrupt


def load_array(path: Path) -> NDArray[Any]:
    """Return the array in the ``.npy`` file ``path``, memory-mapped and read-only.

    Raises:
        Corrupt: it is missing or damaged.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _refusal(path, error) from None
    return array.view(np.ndarray)  # the same pages; slicing an np.memmap costs several times as much


def load_table(path: Path) -> pl.DataFrame:
    """Return the table in the Parquet file ``path``.

    Raises:
        Corrupt: it is missing or damaged.
    """
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _refusal(path, error) from None


def _refusal(path: Path, error: Exception) -> Corrupt:
    # of the other errors, what libraries say tells nothing to who wants to mend it
    why = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
    return Corrupt(f"{path} cannot be read: {why}. Build the snapshot again, or promote the bundle again.")
