"""What those chose whose histories are like this one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from features.compiled import DOUBLE, DOUBLES, FLOATS, INTS, LONG, LONGS
from features.hash_table import empty_slots, slot_of
from features.interactions import DAY_S, History, IntArray
from features.settings import Settings
from features.snapshot import Snapshot
from models.lookup import PLACES, Found, Lookup, best_rows
from models.scorer import Reason, best_first, event_weights, interaction_weights


class SimilarHistoriesSettings(Settings):
    """Which histories are alike, and what is taken from them."""

    neighbours: PositiveInt = 300
    """How many histories are listened to, those most like the one given."""
    histories_of_item: PositiveInt = 1000
    """How many histories are looked at for each item of the one given, those that went on last."""
    interactions: PositiveInt = 50
    """How many interactions of each history are known, the last ones, and how many of the one given count."""
    step_decay: float = Field(default=0.7, gt=0, le=1)
    """What an interaction of the history given counts, as a share of the one that came after it."""
    distance_decay: float = Field(default=0.8, gt=0, le=1)
    """What an item of a like history counts, as a share of one that is one interaction nearer to the one in common."""
    backward: float = Field(default=0.8, ge=0, le=1)
    """What an item of a like history counts that came before the one in common, as a share of one that came after."""
    item_exponent: NonNegativeFloat = 0.3
    """How much the popularity of an item lowers what having it in common counts."""
    length_exponent: NonNegativeFloat = 0.5
    """How much the length of a history lowers its likeness."""
    half_life_days: PositiveFloat = 3650.0
    """Age of the end of a history, at the time of the snapshot, at which it counts half."""
    popularity_exponent: float = Field(default=0.2, ge=0, le=1)
    """How much the popularity of an item lowers its score."""


@dataclass(frozen=True)
class SimilarHistories(Lookup):
    """Scores an item by the likeness of the histories that have it, and by how near to what they have in common.

    Two histories are alike by the items that both have, the late ones of the history given above all (V-SKNN: Ludewig
    and Jannach, Evaluation of Session-based Recommendation Algorithms, 2018); a like history speaks for its items, the
    ones next to the latest common item above all (STAN: Garg et al., Sequence and Time Aware Neighborhood for
    Session-based Recommendations, 2019).

    Attributes:
        event_weights: float32, shape (event types,).
        indptr: int64, shape (histories + 1,); the items of history ``h`` are at ``indptr[h]:indptr[h + 1]``.
        items: int32; the items of each history in their order.
        having_indptr: int64, shape (items + 1,); who has item ``i`` is at ``having_indptr[i]:having_indptr[i + 1]``.
        having: int32; the histories that have an item, each once, those that went on last first.
        having_place: int32; the place in ``items`` where the history has it last.
        weight: float32, shape (histories,); what a history counts for its age and its length.
        common_weight: float32, shape (items,); what having an item in common counts.
        item_weight: float32, shape (items,); what the score of an item is multiplied with.
    """

    name: ClassVar[str] = "similar-histories"
    feature_names: ClassVar[tuple[str, ...]] = ("score", "nearest", "histories", "share_of_best", "place")

    config: SimilarHistoriesSettings
    event_weights: NDArray[np.float32]
    indptr: NDArray[np.int64]
    items: IntArray
    having_indptr: NDArray[np.int64]
    having: IntArray
    having_place: IntArray
    weight: NDArray[np.float32]
    common_weight: NDArray[np.float32]
    item_weight: NDArray[np.float32]

    @classmethod
    def fit(cls, snapshot: Snapshot, config: SimilarHistoriesSettings, rng: Generator) -> Self:
        """Return the histories of ``snapshot``."""
        manifest, n_items = snapshot.manifest, len(snapshot.items)
        rows, user = snapshot.interactions.all, snapshot.interactions.users()
        weights = event_weights(snapshot)
        counts = interaction_weights(rows, weights, np.inf, manifest.as_of) > 0
        end = np.repeat(snapshot.interactions.indptr[1:], np.diff(snapshot.interactions.indptr))
        counts &= end - np.arange(len(rows)) <= config.interactions
        user, item, second = user[counts], rows.item[counts], rows.timestamp_s[counts]
        length = np.bincount(user, minlength=snapshot.interactions.n_users)
        ended_s = np.zeros(len(length), np.int64)
        ended_s[user] = second  # the last one of each is written last
        age_days = (manifest.as_of.timestamp() - ended_s) / DAY_S
        popularity = np.bincount(item, minlength=n_items) + 1.0

        latest_first = np.lexsort((-np.arange(len(item)), -ended_s[user], item))
        pair = item[latest_first].astype(np.int64) * len(length) + user[latest_first]
        latest_first = latest_first[np.concatenate([[True], pair[1:] != pair[:-1]])[: len(pair)]]
        n_having = np.bincount(item[latest_first], minlength=n_items)
        start = np.cumsum(n_having) - n_having
        kept = np.arange(len(latest_first)) - np.repeat(start, n_having) < config.histories_of_item
        latest_first = latest_first[kept]
        return cls(
            config,
            weights,
            np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
            item,
            np.concatenate([[0], np.cumsum(np.minimum(n_having, config.histories_of_item))]).astype(np.int64),
            user[latest_first],
            latest_first.astype(np.int32),
            (0.5 ** (age_days / config.half_life_days) * np.maximum(length, 1.0) ** -config.length_exponent).astype(
                np.float32
            ),
            (popularity**-config.item_exponent).astype(np.float32),
            (popularity**-config.popularity_exponent).astype(np.float32),
        )

    def find(self, history: History, now: datetime) -> Found:
        """Return of each item the likeness of the history most alike that has it, and how many speak for it."""
        mine, weight = self._recent(history, now)
        found: Found = _told(
            *(mine, weight * self.common_weight[mine]),
            *(self.indptr, self.items, self.having_indptr, self.having, self.having_place, self.weight),
            *(self.item_weight, self.config.neighbours, self._decay, self.config.backward, PLACES),
        )
        return found

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return the items of the history that most of the others have who have ``item``."""
        if self.scores(history, np.array([item], np.int32), now)[0] <= 0:
            return None
        mine = np.unique(self._recent(history, now)[0])
        both = np.array(
            [_have_too(self._having(one), self.indptr, self.items, item) for one in mine.tolist()], np.float32
        )
        because = tuple(best_first(mine, both, 2).tolist())
        text = "Chosen together with {0}." if len(because) == 1 else "Chosen together with {0} and {1}."
        return Reason("similar_people", text, because)

    @cached_property
    def _decay(self) -> NDArray[np.float64]:
        """What an item of a like history counts so many interactions away from the one in common."""
        return np.power(self.config.distance_decay, np.arange(self.config.interactions))

    def _having(self, item: int) -> IntArray:
        return self.having[int(self.having_indptr[item]) : int(self.having_indptr[item + 1])]

    def _recent(self, history: History, now: datetime) -> tuple[IntArray, NDArray[np.float32]]:
        """Return the items of the interactions that count, the last one first and each once, and what each weighs."""
        recent = history[max(0, len(history) - self.config.interactions) :]
        counts = interaction_weights(recent, self.event_weights, np.inf, now)[::-1] > 0
        items = recent.item[::-1][counts]
        first = np.sort(np.unique(items, return_index=True)[1])
        return items[first], (np.float32(self.config.step_decay) ** first).astype(np.float32)


@njit((INTS, LONGS, INTS, LONG), cache=True)
def _have_too(histories, indptr, items, item):  # type: ignore[no-untyped-def]
    """Return how many of ``histories`` have ``item``."""
    count = 0
    for one in histories:
        for at in range(indptr[one], indptr[one + 1]):
            if items[at] == item:
                count += 1
                break
    return count


@njit(
    (INTS, FLOATS, LONGS, INTS, LONGS, INTS, INTS, FLOATS, FLOATS, LONG, DOUBLES, DOUBLE, LONG),
    cache=True,
)
def _told(  # type: ignore[no-untyped-def]
    mine,
    mine_weight,
    indptr,
    items,
    having_indptr,
    having,
    having_place,
    weight,
    item_weight,
    n,
    decay,
    backward,
    places,
):
    """Return what ``find`` returns: the items that like histories have."""
    longest = 0
    for k in range(len(mine)):
        longest += having_indptr[mine[k] + 1] - having_indptr[mine[k]]
    # A small hash table: an array of all histories would take longer to clear than all the rest.
    slots = empty_slots(longest)
    who = np.empty(longest, np.int32)
    common = np.empty(longest, np.int32)  # place of the latest item in common
    likeness = np.empty(longest, np.float32)
    count = 0
    for k in range(len(mine)):
        for at in range(having_indptr[mine[k]], having_indptr[mine[k] + 1]):
            slot = slot_of(slots, who, having[at])
            if slots[slot] == 0:
                who[count], common[count], likeness[count] = having[at], having_place[at], 0
                count += 1
                slots[slot] = count
            likeness[np.uintp(slots[slot] - 1)] += mine_weight[k] * weight[having[at]]
    floor = np.partition(likeness[:count], count - n)[count - n] if count > n else np.float32(0)

    longest = 0
    for one in range(count):
        if likeness[one] >= floor:
            longest += indptr[who[one] + 1] - indptr[who[one]]
    longest = min(longest, len(item_weight))
    slots = empty_slots(longest)
    told = np.empty(longest, np.int32)
    score = np.empty(longest, np.float32)
    known = np.empty((longest, 2), np.float32)
    n_told = 0
    for one in range(count):
        if likeness[one] < floor or likeness[one] == 0:
            continue
        for at in range(indptr[who[one]], indptr[who[one] + 1]):
            item = items[at]
            share = decay[at - common[one]] if at >= common[one] else backward * decay[common[one] - at]
            more = np.float32(likeness[one] * share * item_weight[item])
            if more <= 0:
                continue
            slot = slot_of(slots, told, item)
            if slots[slot] == 0:
                told[n_told], score[n_told], known[n_told, 0], known[n_told, 1] = item, 0, 0, 0
                n_told += 1
                slots[slot] = n_told
            row = np.uintp(slots[slot] - 1)
            score[row] += more
            known[row, 0] = max(known[row, 0], likeness[one])
            known[row, 1] += 1
    told, score = told[:n_told], score[:n_told]
    return slots, told, score, known[:n_told], best_rows(told, score, places)
