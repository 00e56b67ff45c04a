"""Where feature jobs run: the one place that knows which engine it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table
from pydantic import Field

from features.settings import Settings


class EngineSettings(Settings):
    """How much of the machine a feature job may use; nothing here changes its result."""

    threads: int | None = Field(default=None, ge=1)
    """Threads; one for each core that this process may use where not given."""
    memory_mb: int = Field(default=2048, ge=256)
    """Memory of the engine in MiB; what does not fit goes to a temporary folder beside the result."""


class DuckDB(Backend):
    """Ibis's DuckDB."""

    def read_tables(self, paths: Sequence[Path]) -> Table:
        """Return the rows of Parquet files of the same columns; the names of their folders add none."""
        return self.read_parquet([str(path) for path in paths], hive_partitioning=False, union_by_name=True)

    def to_pyarrow_batches(self, expr: ibis.Expr, /, *, chunk_size: int = 1_000_000, **_: Any) -> pa.RecordBatchReader:
        """Return the rows of ``expr`` as a stream of at most ``chunk_size`` at a time.

        Ibis 12 asks DuckDB for it with a method that DuckDB 2 no longer has.
        """
        self._run_pre_execute_hooks(expr)
        return self.con.sql(self.compile(expr.as_table())).to_arrow_reader(chunk_size)


@contextmanager
def open_engine(settings: EngineSettings, spill: Path) -> Iterator[DuckDB]:
    """Give an engine that works in memory, and in the folder ``spill`` where that is not enough."""
    engine = DuckDB().connect(
        threads=settings.threads or len(os.sched_getaffinity(0)),
        memory_limit=f"{settings.memory_mb}MiB",
        temp_directory=str(spill),
        preserve_insertion_order=False,  # every result that is read is put in order by its own expression
    )
    try:
        yield engine
    finally:
        engine.disconnect()
