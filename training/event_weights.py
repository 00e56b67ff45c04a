"""What a view, an add-to-cart and a purchase tell, learned from what people bought later."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.snapshot import Snapshot
from features.snapshot_job import of_interactions, weighed
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.scorer import best_first
from models.weighted_sum import conditional_logit
from training.protocols import Stage

QUESTIONS: Final = 2_000
CANDIDATES: Final = 200
"""Longest list of items of which it is learned which one was bought."""


def learned_weights(snapshot: Snapshot, stage: Stage, seed: int) -> dict[str, float] | None:
    """Return what one event of each type that occurs weighs in a history, the heaviest 1.

    What goes with the items of somebody's views, of their purchases and so on is scored apart, by the same ties; the
    weights are those with which the sum of these scores tells best what was bought next (conditional logit). They are
    in the place of ``SnapshotSettings.event_weights``, which item-to-item ties, affinities and all other sums of
    interactions use.

    Args:
        snapshot: Gives ids and catalog.
        stage: What is known, and what was bought then.
        seed: Draws the people to learn from.

    Returns:
        None where fewer than two types occur, or where none tells anything.
    """
    names, rng = snapshot.manifest.event_types, np.random.default_rng(seed)
    codes = np.flatnonzero(np.bincount(stage.known.all.event_type, minlength=len(names))).tolist()
    if len(codes) < 2:
        return None
    end = snapshot.manifest.as_of
    with tempfile.TemporaryDirectory() as folder:
        equal = weighed(snapshot, dict.fromkeys((names[code] for code in codes), 1.0), Path(folder))
        known = of_interactions(equal, stage.known, end, Path(folder))
        together = ItemToItem.fit(known, ItemToItemSettings(half_life_days=36_500), rng)
    by_type = [replace(together, event_weights=_one(code, len(names))) for code in codes]
    every = np.arange(len(snapshot.items), dtype=np.int32)
    columns: list[NDArray[np.float32]] = []
    right: list[NDArray[np.bool_]] = []
    questions = stage.questions.sample(QUESTIONS, rng)
    for number in range(len(questions)):
        history, now = questions.histories.of(number), questions.asked_at(number)
        scores = together.scores(history, every, now)
        items = best_first(every, scores, CANDIDATES)
        found = np.isin(items, questions.relevant[number].indices)
        if found.any() and not found.all():
            best = scores.max()
            columns.append(np.column_stack([one.scores(history, items, now) / best for one in by_type]))
            right.append(found)
    if not right:
        return None
    lengths = np.array([len(one) for one in right])
    weights = conditional_logit(np.concatenate(columns), np.concatenate(right), lengths)
    if not weights.max():
        return None
    return {
        names[code]: round(weight, 4) for code, weight in zip(codes, (weights / weights.max()).tolist(), strict=True)
    }


def _one(code: int, n: int) -> NDArray[np.float32]:
    return (np.arange(n) == code).astype(np.float32)
