"""What has the same values: brand, category, colour and whatever else the catalog tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
from numpy.random import Generator
from pydantic import Field
from scipy import sparse

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, NeighbourSettings, likenesses


class ValuesSettings(NeighbourSettings):
    """Which values tell anything."""

    largest_share: float = Field(default=0.2, gt=0, le=1)
    """A value of a larger share of the items says nothing."""


@dataclass(frozen=True)
class Values(NeighbourScorer):
    """Scores an item by the rare values it shares with the history: the cosine of their vectors of values.

    A value that ``k`` of ``n`` items have weighs ``log(n / k)``. It knows an item from the moment that it is in the
    catalog.
    """

    name: ClassVar[str] = "values"
    reason_kind: ClassVar[str] = "similar"
    reason_texts: ClassVar[tuple[str, str]] = ("Of the same kind as {0}.", "Of the same kind as {0} and {1}.")

    config: ValuesSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: ValuesSettings, rng: Generator) -> Self:
        """Return the likeness of the items of ``snapshot``; none where the catalog has no dimensions."""
        vectors = value_vectors(snapshot.catalog, snapshot.manifest.dimensions, config.largest_share)
        return cls.of_ties(likenesses(vectors, config.neighbours), snapshot, config)


def value_vectors(catalog: pl.DataFrame, dimensions: Sequence[str], largest_share: float) -> sparse.csr_matrix:
    """Return the values of each row of ``catalog``, weighed by rarity, of length 1 or 0; shape (items, values)."""
    n_items = len(catalog)
    tables = [_table(catalog[dimension]) for dimension in dimensions]
    has = sparse.hstack(tables, "csr", np.float32) if tables else sparse.csr_matrix((n_items, 0), dtype=np.float32)
    count = np.asarray(has.sum(axis=0)).ravel()
    telling = (count > 1) & (count <= largest_share * n_items)
    weighed = has[:, telling] @ sparse.diags(np.log(n_items / count[telling]))
    length = np.sqrt(np.asarray(weighed.power(2).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.where(length > 0, length, 1)) @ weighed, dtype=np.float32)


def _table(values: pl.Series) -> sparse.csr_matrix:
    """Return which value each item has; shape (items, values), 1 where it has it."""
    pairs = (
        pl.DataFrame({"item": np.arange(len(values)), "value": values}).explode("value").drop_nulls("value").unique()
    )
    code = pairs["value"].rank("dense").to_numpy().astype(np.int64) - 1
    ones, shape = np.ones(len(pairs), np.float32), (len(values), int(code.max(initial=-1)) + 1)
    return sparse.csr_matrix((ones, (pairs["item"].to_numpy(), code)), shape)
