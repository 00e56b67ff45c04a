"""What is called alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
from numpy.random import Generator
from pydantic import Field, PositiveInt
from scipy import sparse

from features.snapshot import Snapshot
from models.neighbours import NeighbourScorer, NeighbourSettings, likenesses


class TitlesSettings(NeighbourSettings):
    """How titles are read."""

    words: PositiveInt = 2
    """Longest phrase that counts as one term."""
    fewest_titles: PositiveInt = 2
    """A term of fewer titles says nothing."""
    largest_share: float = Field(default=0.2, gt=0, le=1)
    """A term of a larger share of the titles says nothing."""


@dataclass(frozen=True)
class Titles(NeighbourScorer):
    """Scores an item by how much its title resembles those of the history: the cosine of their TF-IDF vectors.

    It knows an item from the moment that it is in the catalog.
    """

    name: ClassVar[str] = "titles"
    reason_kind: ClassVar[str] = "similar"
    reason_texts: ClassVar[tuple[str, str]] = ("Similar to {0}.", "Similar to {0} and {1}.")

    config: TitlesSettings

    @classmethod
    def fit(cls, snapshot: Snapshot, config: TitlesSettings, rng: Generator) -> Self:
        """Return the likeness of the titles of the catalog of ``snapshot``; none where none are alike."""
        vectors = title_vectors(snapshot.catalog["title"], config)
        return cls.of_ties(likenesses(vectors, config.neighbours), snapshot, config)


def title_vectors(titles: pl.Series, config: TitlesSettings) -> sparse.csr_matrix:
    """Return the TF-IDF vector of each of ``titles``, of length 1 or 0; shape (titles, terms)."""
    texts = titles.fill_null("").to_list()
    from sklearn.feature_extraction.text import TfidfVectorizer  # here: what answers needs none of it, and it is large

    vectorizer = TfidfVectorizer(
        ngram_range=(1, config.words),
        min_df=config.fewest_titles,
        max_df=max(config.fewest_titles, int(config.largest_share * len(texts))),
        sublinear_tf=True,
        dtype=np.float32,
    )
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's answer to titles that share no terms
        return sparse.csr_matrix((len(texts), 0), dtype=np.float32)
