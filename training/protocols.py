"""What may be learned from, and what is asked then: for lessons, for validation and for the test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from features.errors import InvalidInput
from features.events import PURCHASE
from features.interactions import DAY_S, Interactions
from features.snapshot import Snapshot
from training.datasets import Dataset, Protocol, Questions, of_users, relevance

FOLDS: Final = 6
"""Into so many parts people are divided to make lessons; the models of a lesson know all parts but the one asked."""
LAST_PLACES: Final = (4, 16)
"""So many of the last interactions of a person are asked for in lessons, at least and at most: more where there are
fewer people; see ``QUESTIONS_IN_LESSONS``."""
LARGEST_LOSS: Final = 0.25
"""Share of the interactions that may be left out to make lessons and validation as hard as the test."""
CUTS: Final = 10
"""Into so many parts, at random, the interactions of a set without order are cut; those who are asked for one of them
know all others, nearly as much as who answers the test."""
QUESTIONS_IN_LESSONS: Final = 60_000
"""So many at least are asked in lessons, as far as there are places, or parts that are cut."""
LAST_SESSIONS_SHARE: Final = 0.07
"""Share of the sessions, the last ones, that is cut for validation; as many before them make lessons."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Questions, and what those who answer them may have learned from.

    Attributes:
        known: Interactions to fit on, of all users of the snapshot; some of them may have none.
        questions: None of their answers is in ``known``.
    """

    known: Interactions
    questions: Questions


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of a test.

    Attributes:
        lessons: For a ranker to learn from.
        validation: To choose by.
        repeats: Whether what is in the history may be an answer.
        ordered: Whether the order of a history tells anything.
        places: How many places of a ranking count.
        candidates: How many items are put in order for that.
        metrics: What is reported; the last one decides.
        test: Looked at once, when all is chosen; None where it is not held here.
        learns_from_validation: Whether the validation is known by the time of the test, so that it makes lessons too.
        refit: What may be known in a second, laxer test, the validation included; None where there is none.
    """

    lessons: list[Stage]
    validation: Stage
    repeats: bool
    ordered: bool
    places: int
    candidates: int
    metrics: tuple[str, ...]
    test: Stage | None = None
    learns_from_validation: bool = False
    refit: Interactions | None = None

    @property
    def dated(self) -> bool:
        """Whether it is asked at one moment what comes then, so that habits and what is new tell something."""
        return self.validation.questions.asked_s is not None


def plan(dataset: Dataset, protocol: Protocol, rng: Generator) -> Plan:
    """Return the stages of ``protocol`` for ``dataset``; ``rng`` draws what is cut."""
    everything, n_items = dataset.snapshot.interactions, len(dataset.snapshot.items)
    if protocol is Protocol.LEAVE_ONE_OUT:
        return _leave_one_out(everything, n_items, rng)
    assert dataset.test is not None
    if protocol is Protocol.SPLIT:
        return _split(everything, dataset.test, n_items, rng)
    return _sessions(everything, dataset.test, n_items)


def ties_shuffled(questions: Questions, rng: Generator) -> Questions:
    """Return ``questions`` with the interactions of one moment in random order in each history."""
    histories = questions.histories
    order = np.lexsort((rng.random(len(histories.all)), histories.all.session, histories.users()))
    rows = histories.all[order]
    rows.timestamp_s[:] = histories.all.timestamp_s
    return Questions(Interactions(histories.indptr, rows), questions.relevant)


def _leave_one_out(everything: Interactions, n_items: int, rng: Generator) -> Plan:
    from_end = places_from_end(everything)
    past, all_but_last = everything.where(from_end >= 2), everything.where(from_end >= 1)
    # Who answers the test was not fitted on the last item of the history, and what is new by then is strange to it. So
    # it is in lessons and validation, unless histories are so short that little would be left.
    known = places_from_end(past) >= 1
    if np.mean(~known) > LARGEST_LOSS:
        known[:] = True
    fold = rng.integers(0, FOLDS, past.n_users)
    places = range(int(np.clip(-(-QUESTIONS_IN_LESSONS // max(1, past.n_users)), *LAST_PLACES)))
    lessons = []
    for k in range(FOLDS):
        mine = of_users(past, np.flatnonzero(fold == k))
        others = fold[past.users()] != k
        lessons.append(Stage(past.where(known & others), _last_places(mine, places, n_items)))
    validation = Stage(past.where(known), _last_places(all_but_last, range(1), n_items))
    if not len(validation.questions):
        raise InvalidInput(
            "Nobody has three interactions or more: leave-one-out tests by the last and chooses by the one before."
        )
    return Plan(
        # Where nobody has four interactions, only what is chosen by is left to learn from.
        [one for one in lessons if len(one.questions)] or [validation],
        validation,
        repeats=False,
        ordered=True,
        places=10,
        candidates=100,
        metrics=("recall@5", "ndcg@5", "recall@10", "ndcg@10"),
        test=Stage(past, _last_places(everything, range(1), n_items)),
        refit=all_but_last,
    )


def _split(everything: Interactions, test: Questions, n_items: int, rng: Generator) -> Plan:
    cut = rng.integers(0, CUTS, len(everything.all))
    validation = _without(everything, cut == 0, n_items)
    if not len(validation.questions):
        raise InvalidInput(
            f"Of the {len(everything.all)} interactions of the train file none is of use to choose by: a split cuts a "
            "tenth of them, of people who keep some. Give some tens of people with several interactions each."
        )
    lessons: list[Stage] = []
    while len(lessons) < CUTS - 1 and sum(len(one.questions) for one in lessons) < QUESTIONS_IN_LESSONS:
        lessons.append(_without(everything, cut == len(lessons) + 1, n_items))
    return Plan(
        # Where hardly anybody is known, only what is chosen by is left to learn from.
        [one for one in lessons if len(one.questions)] or [validation],
        validation,
        repeats=False,
        ordered=False,
        places=20,
        candidates=150,
        metrics=("recall@20", "ndcg@20"),
        test=Stage(everything, test),
        learns_from_validation=True,
    )


def _sessions(everything: Interactions, test: Questions, n_items: int) -> Plan:
    first, second = (int(everything.n_users * (1 - share * LAST_SESSIONS_SHARE)) for share in (2, 1))
    session = everything.users()
    stages = [
        Stage(
            everything.where(session < start),
            _last_places(of_users(everything, np.arange(start, end)), None, n_items),
        )
        for start, end in ((first, second), (second, everything.n_users))
    ]
    return Plan(
        stages[:1],
        stages[1],
        repeats=True,
        ordered=True,
        places=20,
        candidates=150,
        metrics=("hr@20", "mrr@20"),
        test=Stage(everything, test),
        learns_from_validation=True,
    )


def periods(snapshot: Snapshot, days: float) -> Plan:
    """Return the stages of ``snapshot``: who bought what in its last ``days`` to choose by, in those before to learn.

    Raises:
        InvalidInput: nobody who was known before bought anything in either of the two periods.
    """
    end_s, length_s = int(snapshot.manifest.as_of.timestamp()), int(days * DAY_S)
    validation, lessons = (
        bought_within(snapshot.interactions, len(snapshot.items), end_s - times * length_s, end_s - past * length_s)
        for times, past in ((1, 0), (2, 1))
    )
    for stage, start_s, what in (
        (validation, end_s - length_s, "last"),
        (lessons, end_s - 2 * length_s, "last but one"),
    ):
        if not len(stage.questions):
            raise InvalidInput(
                f"Nobody who was known at {datetime.fromtimestamp(start_s, UTC):%Y-%m-%d} bought anything within the "
                f"{days:g} days after it, the {what} to choose by. Choose another length (--holdout-days), or import "
                "more purchases."
            )
    return Plan(
        [lessons], validation, repeats=True, ordered=True, places=20, candidates=100, metrics=("recall@20", "ndcg@20")
    )


def bought_within(everything: Interactions, n_items: int, start_s: int, end_s: int) -> Stage:
    """Return what was known at ``start_s``, and the question to each who was, for what they bought before ``end_s``."""
    known, rows = everything.before(start_s), everything.all
    within = (rows.timestamp_s >= start_s) & (rows.timestamp_s < end_s)
    bought = (
        within & (rows.event_type == PURCHASE) & (rows.quantity > 0) & (np.diff(known.indptr) > 0)[everything.users()]
    )
    asked, question = np.unique(everything.users()[bought], return_inverse=True)
    relevant = relevance(question, rows.item[bought], len(asked), n_items)
    return Stage(known, Questions(of_users(known, asked.astype(np.int64)), relevant, start_s))


def _without(everything: Interactions, taken: NDArray[np.bool_], n_items: int) -> Stage:
    """Return what is left when the rows ``taken`` are, and the questions for these to all who have anything left."""
    left = everything.where(~taken)
    user, item = everything.users()[taken], everything.all.item[taken]
    again = np.isin(user.astype(np.int64) * n_items + item, left.users().astype(np.int64) * n_items + left.all.item)
    user, item = user[~again], item[~again]
    has_history = np.diff(left.indptr)[user] > 0
    asked, question = np.unique(user[has_history], return_inverse=True)
    return Stage(left, Questions(of_users(left, asked), relevance(question, item[has_history], len(asked), n_items)))


def _last_places(interactions: Interactions, places: range | None, n_items: int) -> Questions:
    """Return the questions for the items at ``places``, counted from the last one; for all but the first where None."""
    from_end, length = places_from_end(interactions), np.diff(interactions.indptr)
    has_history = from_end < np.repeat(length, length) - 1
    wanted = has_history if places is None else has_history & np.isin(from_end, places)
    at = np.flatnonzero(wanted)
    start = interactions.indptr[interactions.users()[at]]
    indptr = np.concatenate([[0], np.cumsum(at - start)]).astype(np.int64)
    rows = np.repeat(start - indptr[:-1], at - start) + np.arange(indptr[-1])
    target = interactions.all.item[at]
    return Questions(
        Interactions(indptr, interactions.all[rows]), relevance(np.arange(len(at)), target, len(at), n_items)
    )


def places_from_end(interactions: Interactions) -> NDArray[np.int64]:
    """Return how many interactions of the same user come after each."""
    return np.repeat(interactions.indptr[1:], np.diff(interactions.indptr)) - np.arange(len(interactions.all)) - 1
