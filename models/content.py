"""What the catalog says of items: the terms of their titles, and their values."""

from __future__ import annotations

from pydantic import Field
from scipy import sparse

from features.settings import Settings
from features.snapshot import Snapshot
from models.titles import TitlesSettings, title_vectors
from models.values import ValuesSettings, value_vectors


class ContentSettings(Settings):
    """What is read in the catalog, and what counts of it."""

    titles: TitlesSettings = TitlesSettings()
    """How titles are read."""
    values: ValuesSettings = ValuesSettings()
    """Which values tell anything."""
    values_weight: float = Field(default=0.2, ge=0, le=1)
    """Share of the values in what an item is like; the rest is that of the title."""


def content_vectors(snapshot: Snapshot, config: ContentSettings) -> sparse.csr_matrix:
    """Return the terms of each item's title and its values; shape (items, terms and values).

    The squared lengths of the two parts are ``1 - values_weight`` and ``values_weight``, or 0 where there are none.
    """
    catalog, share = snapshot.catalog, config.values_weight
    titles = title_vectors(catalog["title"], config.titles)
    values = value_vectors(catalog, snapshot.manifest.dimensions, config.values.largest_share)
    return sparse.hstack([titles * (1 - share) ** 0.5, values * share**0.5], "csr")
