"""What a view, an add-to-cart and a purchase tell, learned from what people bought later."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.interactions import History
from features.snapshot import Snapshot
from features.snapshot_job import of_interactions, weighed
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.scorer import best_first
from models.weighted_sum import conditional_logit
from training.protocols import Stage

QUESTIONS: Final = 2_000
CANDIDATES: Final = 300
"""Longest list of items of which it is learned which one was bought."""
LEAST_PEOPLE: Final = 30
"""Of what fewer have had nothing is learned: one of them alone could make it count for nothing."""
LEAST_WEIGHT: Final = 1e-6
"""Of what tells nothing the search for the best weights leaves no exact 0."""

Columns = list[NDArray[np.float32]]


def learned_weights(snapshot: Snapshot, stage: Stage, seed: int) -> dict[str, float] | None:
    """Return what one event of each type weighs in a history.

    What goes with the items of somebody's views, of their purchases and so on is scored apart, by the same ties; the
    weights are those with which the sum of these scores tells best what was bought next (conditional logit). They are
    in the place of ``SnapshotSettings.event_weights``, which item-to-item ties, affinities and all other sums of
    interactions use, and the heaviest weighs as much as the heaviest of the same types does there. A type keeps its
    weight of there where that is 0 or less, for it is not to count, and where fewer than ``LEAST_PEOPLE`` of those who
    are asked had it before.

    Args:
        snapshot: Gives ids, catalog, and the weights so far.
        stage: What is known, and what was bought then.
        seed: Draws the people to learn from.

    Returns:
        None where there are no two types to compare, or where none tells anything.
    """
    names, rng = snapshot.manifest.event_types, np.random.default_rng(seed)
    so_far = snapshot.manifest.settings.event_weights
    questions = stage.questions.sample(QUESTIONS, rng)
    had = np.unique(questions.histories.users().astype(np.int64) * len(names) + questions.histories.all.event_type)
    had_by = dict(zip(names, np.bincount(had % len(names), minlength=len(names)).tolist(), strict=True))
    count = [name for name in names if so_far.get(name, 0) > 0]
    types = [name for name in count if had_by[name] >= LEAST_PEOPLE]
    if len(types) < 2:
        return None
    with tempfile.TemporaryDirectory() as folder:
        equal = weighed(snapshot, dict.fromkeys(count, 1.0), Path(folder))
        known = of_interactions(equal, stage.known, snapshot.manifest.as_of, Path(folder))
        ties = ItemToItem.fit(known, ItemToItemSettings(half_life_days=36_500), rng)
    ways = [np.array([name == one for name in names], np.float32) for one in types]
    found = (
        tied(ties, ways, questions.histories.of(number), questions.asked_at(number)) for number in range(len(questions))
    )
    weights = telling_weights(found, questions.relevant)
    if weights.max() < LEAST_WEIGHT:
        return None
    weights *= max(so_far[name] for name in types) / weights.max()
    return so_far | dict(zip(types, weights.round(4).tolist(), strict=True))


def tied(ties: ItemToItem, ways: Sequence[NDArray[np.float32]], history: History, now: datetime) -> Columns:
    """Return what every item's ties with ``history`` are, for each of ``ways`` to weigh its events.

    Args:
        ties: Scores every item; its own weights of events are not used.
        ways: Each gives the weight of one event of each type, by its code.
        history: Of one person.
        now: When the question is asked.

    Returns:
        For each way, shape (items,): the scores, all divided by the same, so that the best item of their sum has 1; all
        0 where nothing is tied.
    """
    every = np.arange(len(ties.indptr) - 1, dtype=np.int32)
    scores = [replace(ties, event_weights=way).scores(history, every, now) for way in ways]
    best = float(np.sum(scores, axis=0).max())
    return [one / np.float32(best or 1.0) for one in scores]


def telling_weights(found: Iterable[Columns], relevant: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return the weights of the columns whose sum tells best which of the likeliest items were chosen.

    Args:
        found: For each of one or more questions the same columns, each of shape (items,); an item is no candidate where
            all are 0.
        relevant: Shape (questions, items); what was chosen.

    Returns:
        Shape (columns,), 0 or more; all 0 where no list of candidates holds both what was chosen and what was not.
    """
    rows: list[NDArray[np.float32]] = []
    right: list[NDArray[np.bool_]] = []
    every, parts = np.arange(relevant.shape[1], dtype=np.int32), Columns()
    for number, parts in enumerate(found):
        items = best_first(every, np.sum(parts, axis=0), CANDIDATES)
        chosen = np.isin(items, relevant[number].indices)
        if chosen.any() and not chosen.all():
            rows.append(np.column_stack([part[items] for part in parts]))
            right.append(chosen)
    if not right:
        return np.zeros(len(parts))
    return conditional_logit(np.concatenate(rows), np.concatenate(right), np.array([len(one) for one in right]))
