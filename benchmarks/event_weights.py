"""What views, add-to-carts and purchases are worth for foretelling purchases: learned, all alike, or set by hand.

``python -m benchmarks.event_weights DIR [--quick] [--json OUT]``

DIR holds ``interactions.parquet`` (``user_id``, ``item_id``, ``event_type``). Of each buyer's purchases three in ten
are held out, and everything but what was bought is ranked. Two questions are asked: *any* purchase, where views and
add-to-carts of the item itself remain known, and *new* ones, where nothing of what is between the buyer and the item
does, and items of the history are not ranked. *Both* is the mean of the two, for each buyer who was asked both: who
weighs by hand does not know which will be asked.

An item's score is a mix of its ties (item-to-item) with the weighed history and of the weighed events of the buyer with
the item itself. The ways to weigh differ in nothing else: a second cut, of what is left, chooses the mix of each, the
exponents of the ties for all together, and the weights that are learned: first those in the history, by the learner of
``python -m training fit --auto`` on these ties, which is a sum like the others', so that it could do all that they do.
Intervals are over buyers, each of whom counts with the mean over all cuts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from evaluation import ranking_metrics
from evaluation.intervals import Interval, bootstrap_interval
from features.command_line import run_alone
from features.events import PURCHASE
from features.interactions import Interactions
from features.snapshot import Snapshot
from features.snapshot_job import of_interactions, weighed
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.scorer import best_first
from training.datasets import Protocol, Questions, of_users, read, relevance
from training.event_weights import Columns, telling_weights, tied
from training.protocols import Stage

TYPES: Final = ("view", "add_to_cart", "purchase")
WAYS: Final = {"unweighted": (1.0, 1.0, 1.0), "by hand": (1.0, 3.0, 10.0), "learned": None}
HELD_OUT: Final = 0.3
PLACES: Final = 20
EXPONENTS: Final = ((0.3, 0.1), (0.5, 0.1), (0.5, 0.3), (0.7, 0.3))


@dataclass(frozen=True)
class Mix:
    """How a score is made.

    Attributes:
        in_history: What events of each way to weigh count in the history.
        counts: What the ties with the history so weighed count, and the events with the item itself by each way.
        ndcg: What came of it in the second cut.
    """

    in_history: NDArray[np.float64]
    counts: NDArray[np.float64]
    ndcg: float

    def scores(self, parts: Columns) -> NDArray[np.float64]:
        """Return the score of every item, of what ``columns`` says of one question."""
        return _sum(told(parts, self.in_history), self.counts)


def cut(everything: Interactions, n_items: int, new: bool, rng: np.random.Generator) -> Stage:
    """Return what is left when purchases are held out, and the question to each buyer who keeps a history."""
    rows, user = everything.all, everything.users()
    pair = user.astype(np.int64) * n_items + rows.item
    held = np.isin(pair, pair[(rows.event_type == PURCHASE) & (rng.random(len(rows)) < HELD_OUT)])
    asked_for = held & (rows.event_type == PURCHASE)
    keep = ~held if new else ~asked_for
    left = everything.where(keep)
    asked_for &= (np.diff(left.indptr) > 0)[user]
    asked, question = np.unique(user[asked_for], return_inverse=True)
    relevant = relevance(question, rows.item[asked_for], len(asked), n_items)
    return Stage(left, Questions(of_users(left, asked.astype(np.int64)), relevant))


def columns(ties: ItemToItem, ways: Sequence[NDArray[np.float32]], questions: Questions, new: bool) -> list[Columns]:
    """Return for each question the evidence for every item, by each of ``ways`` to weigh: ties, then own events.

    There is none for what is not ranked: what was bought before, or if ``new`` all of the history.
    """
    n_items = questions.relevant.shape[1]
    found = []
    for number in range(len(questions)):
        history = questions.histories.of(number)
        own = [np.bincount(history.item, way[history.event_type], n_items).astype(np.float32) for way in ways]
        parts = tied(ties, ways, history, questions.asked_at(number)) + own
        for part in parts:
            part[history.item if new else history.item[history.event_type == PURCHASE]] = 0
        found.append(parts)
    return found


def told(parts: Columns, in_history: NDArray[np.float64]) -> Columns:
    """Return of ``parts`` the root of the ties, added up with the weights ``in_history``, and then the own events."""
    n = len(in_history)
    return [np.sqrt(_sum(parts[:n], in_history)).astype(np.float32), *parts[n:]]


def ndcg(scored: list[NDArray[np.float64]], questions: Questions) -> NDArray[np.float64]:
    """Return the NDCG of each question."""
    rankings = np.full((len(scored), PLACES), ranking_metrics.NO_ITEM, np.int32)
    every = np.arange(questions.relevant.shape[1], dtype=np.int32)
    for number, scores in enumerate(scored):
        best = best_first(every, scores, PLACES)
        rankings[number, : len(best)] = best
    return ranking_metrics.ndcg(ranking_metrics.judged(rankings, questions.relevant), PLACES)


def mix_of(found: list[Columns], questions: Questions) -> Mix:
    """Return the mix of what ``columns`` found that answers the ``questions`` best."""
    n_ways, relevant = len(found[0]) // 2, questions.relevant
    in_history = telling_weights((parts[:n_ways] for parts in found), relevant) if n_ways > 1 else np.ones(1)
    mix = Mix(in_history, telling_weights((told(parts, in_history) for parts in found), relevant), 0.0)
    return replace(mix, ndcg=float(ndcg([mix.scores(parts) for parts in found], questions).mean()))


def run(
    snapshot: Snapshot, new: bool, seed: int, folder: Path
) -> tuple[dict[str, NDArray[np.float64]], Questions, Mix]:
    """Return for each way to weigh the NDCG of each buyer in the outer cut; the questions; and what was learned."""
    n_items, names = len(snapshot.items), snapshot.manifest.event_types
    rng = np.random.default_rng(seed)
    test = cut(snapshot.interactions, n_items, new, rng)
    validation = cut(test.known, n_items, new, rng)
    weights_of = {label: dict(zip(TYPES, way or (1.0, 1.0, 1.0), strict=True)) for label, way in WAYS.items()}
    weighing = {label: weighed(snapshot, weights, folder) for label, weights in weights_of.items()}

    def found(label: str, stage: Stage, exponents: tuple[float, float]) -> list[Columns]:
        ways = [weights_of[label]] if WAYS[label] else [{one: 1.0} for one in TYPES]
        known = of_interactions(weighing[label], stage.known, snapshot.manifest.as_of, folder)
        own, neighbour = exponents
        settings = ItemToItemSettings(
            own_exponent=own, neighbour_exponent=neighbour, neighbours=500, half_life_days=36_500, recent_items=1_000
        )
        ties = ItemToItem.fit(known, settings, np.random.default_rng(0))
        by_code = [np.array([one.get(name, 0.0) for name in names], np.float32) for one in ways]
        return columns(ties, by_code, stage.questions, new)

    mixes = {
        exponents: {label: mix_of(found(label, validation, exponents), validation.questions) for label in WAYS}
        for exponents in EXPONENTS
    }
    exponents, best = max(mixes.items(), key=lambda one: sum(mix.ndcg for mix in one[1].values()))
    by_way = {
        label: ndcg([best[label].scores(parts) for parts in found(label, test, exponents)], test.questions)
        for label in WAYS
    }
    return by_way, test.questions, best["learned"]


def over_cuts(
    snapshot: Snapshot, new: bool, n: int, folder: Path
) -> tuple[dict[str, NDArray[np.float64]], dict[str, dict[str, float]]]:
    """Return for each way to weigh the mean NDCG of each user over ``n`` cuts, NaN of who was not asked; and the
    weights that were learned."""
    total, times = {label: np.zeros(len(snapshot.users)) for label in WAYS}, np.zeros(len(snapshot.users))
    learned: list[Mix] = []
    for seed in range(n):
        of_cut, questions, mix = run(snapshot, new, seed, folder)
        users = _asked(snapshot, questions)
        times[users] += 1
        for label in WAYS:
            total[label][users] += of_cut[label]
        learned.append(mix)
    times[times == 0] = np.nan
    return {label: one / times for label, one in total.items()}, {
        "history": _heaviest_1([mix.in_history for mix in learned]),
        "same item": _heaviest_1([mix.counts[1:] for mix in learned]),
    }


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of interactions.parquet.")],
    quick: Annotated[bool, typer.Option("--quick", help="One cut in place of three.")] = False,
    out: Json = None,
) -> None:
    """Compare the three ways to weigh events."""
    results: dict[str, object] = {}
    table = Table(title=f"NDCG@{PLACES} of held-out purchases", title_justify="left")
    for column in ("purchases", "weights", "NDCG", "learned less this one"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as name:
        workshop = Path(name)
        snapshot = read(folder, Protocol.LEAVE_ONE_OUT, True, workshop, np.random.default_rng(0)).snapshot
        by_question, weights = {}, {}
        for question in ("any", "new"):
            by_question[question], weights[question] = over_cuts(
                snapshot, question == "new", 1 if quick else 3, workshop / "cuts"
            )
    by_question["both"] = {label: (by_question["any"][label] + by_question["new"][label]) / 2 for label in WAYS}
    for question, by_way in by_question.items():
        figures: dict[str, object] = {"learned_weights": weights[question]} if question in weights else {}
        for label, values in by_way.items():
            asked = ~np.isnan(values)
            mean_of = bootstrap_interval(values[asked], np.random.default_rng(0))
            gain = bootstrap_interval((by_way["learned"] - values)[asked], np.random.default_rng(0))
            table.add_row(question, label, _text(mean_of), "" if label == "learned" else _text(gain, "+"))
            figures[label] = {"ndcg@20": asdict(mean_of), "learned_less_this": asdict(gain)}
        results[question] = figures
    Console(width=110).print(table)
    save(results, out)


def _asked(snapshot: Snapshot, questions: Questions) -> NDArray[np.int64]:
    """Return the user of each question, by the session that no other user has."""
    session = questions.histories.all.session[questions.histories.indptr[:-1]]
    of_session = np.zeros(int(snapshot.interactions.all.session.max()) + 1, np.int64)
    of_session[snapshot.interactions.all.session] = snapshot.interactions.users()
    return of_session[session]


def _heaviest_1(weights: list[NDArray[np.float64]]) -> dict[str, float]:
    """Return the mean over cuts of what each type weighs, the heaviest of a cut 1; all 0 where none tells anything."""
    mean = np.mean([one / max(float(one.max()), 1e-9) for one in weights], axis=0)
    return dict(zip(TYPES, mean.round(3).tolist(), strict=True))


def _sum(parts: Columns, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sum(weight * part for weight, part in zip(weights, parts, strict=True)), np.float64)


def _text(interval: Interval, sign: str = "") -> str:
    return f"{interval.mean:{sign}.4f} ({interval.low:{sign}.4f} to {interval.high:{sign}.4f})"


if __name__ == "__main__":
    run_alone(main, "benchmarks.event_weights")
