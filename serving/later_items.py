"""Items that came into the catalog after a bundle was made: how alike they are to those that it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import log, sqrt
from typing import Any, Final

import polars as pl

from features.interactions import IntArray
from models.bundle import Bundle
from models.newcomers import NewcomersSettings
from serving.live_catalog import LiveCatalog

WORD: Final = r"\b\w\w+\b"
_TITLE: Final = "title"

Term = tuple[str, str]
"""A word of the title, or a value: where it stands, and its text."""


class LaterItems:
    """The terms of the items added later, so that those like a given item are found without looking at all.

    The likeness is that of ``Newcomers``: the cosine of the words of titles and of values, both weighed by how rare
    they are in the catalog of the bundle; what usually follows what is not counted. A change of the catalog takes as
    long as what has changed, and a question as long as a history. Only one thread at a time may use it.
    """

    def __init__(self, bundle: Bundle, settings: NewcomersSettings) -> None:
        self._dimensions = bundle.manifest.dimensions
        self._settings = settings
        self._rarity = _rarities(bundle.catalog, self._dimensions, settings)
        self._version: int | None = None
        self._terms: dict[int, dict[Term, float]] = {}
        self._having: dict[Term, dict[int, float]] = {}

    def refresh(self, catalog: LiveCatalog) -> None:
        """Take in what changed in ``catalog`` since the last time."""
        if self._version == catalog.version:
            return
        changed = None if self._version is None else catalog.changed_since(self._version)
        self._version = catalog.version
        later = range(catalog.bundle_size, len(catalog)) if changed is None else changed.tolist()
        for item in later:
            for term in self._terms.pop(item, {}):
                del self._having[term][item]
                if not self._having[term]:
                    del self._having[term]
            if item >= catalog.bundle_size and catalog.in_catalog[item]:
                self._terms[item] = self._weighed(catalog.row(item))
                for term, weight in self._terms[item].items():
                    self._having.setdefault(term, {})[item] = weight

    def like(self, item: int, catalog: LiveCatalog) -> dict[int, float]:
        """Return the later items that resemble ``item``, and how much, above 0 to 1."""
        found: dict[int, float] = {}
        if self._terms:
            for term, weight in self._weighed(catalog.row(item)).items():
                for other, theirs in self._having.get(term, {}).items():
                    found[other] = found.get(other, 0.0) + weight * theirs
        return found

    def scores(self, anchors: IntArray, weights: Iterable[float], catalog: LiveCatalog) -> dict[int, float]:
        """Return the sum of the likeness with each of ``anchors``, times its weight, of all for which it is not 0."""
        found: dict[int, float] = {}
        if self._terms:
            for item, weight in zip(anchors.tolist(), weights, strict=True):
                for other, likeness in self.like(item, catalog).items():
                    found[other] = found.get(other, 0.0) + weight * likeness
        return found

    def _weighed(self, row: Mapping[str, Any]) -> dict[Term, float]:
        """Return what the words and the values of a ``row`` of the catalog weigh."""
        words = {(_TITLE, word) for word in re.findall(WORD, (row[_TITLE] or "").lower())}
        values = {(name, value) for name in self._dimensions for value in row[name] or ()}
        share = self._settings.values_weight
        found: dict[Term, float] = {}
        for terms, part in ((words, 1 - share), (values, share)):
            rarity = {term: self._rarity[term] for term in terms if term in self._rarity}
            length = sqrt(sum(weight * weight for weight in rarity.values()))
            found |= {term: sqrt(part) * weight / length for term, weight in rarity.items() if length}
        return found


def _rarities(catalog: pl.DataFrame, dimensions: Iterable[str], settings: NewcomersSettings) -> dict[Term, float]:
    """Return what each word and each value weighs; those that too many items have are left out."""
    n_items = len(catalog)
    words = catalog[_TITLE].cast(pl.String).str.to_lowercase().str.extract_all(WORD)
    most = max(settings.titles.fewest_titles, int(settings.titles.largest_share * n_items))
    found: dict[Term, float] = {
        (_TITLE, word): log((1 + n_items) / (1 + count)) + 1 for word, count in _counts(words) if count <= most
    }
    for name in dimensions:
        for value, count in _counts(catalog[name]):
            if count <= settings.values.largest_share * n_items:
                found[name, value] = log((1 + n_items) / count)
    return found


def _counts(lists: pl.Series) -> Iterable[tuple[str, int]]:
    """Return in how many of the ``lists`` each text is."""
    return lists.rename("text").list.unique().explode().drop_nulls().value_counts().iter_rows()
