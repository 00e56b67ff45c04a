"""Whether items that nobody could choose yet find the people who will.

``python -m benchmarks.cold_start DIR [--quick] [--json OUT]``

DIR holds a leave-one-out set (``interactions.parquet``, ``items.parquet`` with titles and attributes). One item in ten
is hidden: nothing that anybody did with it is known, neither when models learn nor in a history. Asked are the people
whose last item is a hidden one, and the hidden items alone are ranked, by the pipeline that serves. Recall@10 is the
share of the asked whose item is among the first ten.

Settings are chosen in the same way one step earlier: another tenth is hidden, and the items before the last are asked
for. Compared are chance, the popularity of an item's attributes (the mean number of interactions with the items of each
of its values, the same for everybody), and the parts of the answer.

New visitors are measured by the same people: what is known of them is nothing, or their first item alone (what one
click tells), and their last item is looked for among all items.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import optuna
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Json, save
from evaluation.intervals import bootstrap_interval
from features.command_line import run_alone
from features.interactions import History, Interactions
from features.snapshot import Snapshot
from features.snapshot_job import of_interactions
from models.analogies import Analogies, AnalogiesSettings
from models.bundle import Bundle
from models.newcomers import Newcomers, NewcomersSettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from models.values import ValuesSettings
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import Recipe, Recipes
from training.datasets import Protocol, Questions, of_users, read, relevance
from training.protocols import Stage, places_from_end

HIDDEN: Final = 0.1
PLACES: Final = 10
QUESTIONS: Final = 800
"""So many of the earlier step choose the settings."""
TRIALS: Final = 30


def hidden(everything: Interactions, from_end: int, cold: NDArray[np.bool_]) -> Stage:
    """Return what is known without the ``cold`` items, and a question to each person whose item at this place is cold.

    The place is counted from the last item, 0; what came after it is not known.
    """
    place = places_from_end(everything)
    known = everything.where((place > from_end) & ~cold[everything.all.item])
    has_history = (np.diff(known.indptr) > 0)[everything.users()]
    at = np.flatnonzero((place == from_end) & cold[everything.all.item] & has_history)
    relevant = relevance(np.arange(len(at)), everything.all.item[at], len(at), len(cold))
    return Stage(known, Questions(of_users(known, everything.users()[at].astype(np.int64)), relevant))


def recall(scorer: Scorer, snapshot: Snapshot, questions: Questions, items: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return for each question 1 where the pipeline puts the answer among the first ten of ``items``, else 0."""
    pipeline = Pipeline(
        Bundle.of(snapshot, [scorer], scorer.name, snapshot.manifest.as_of, ""),
        Recipes(recipes={"cold": Recipe(ranker="model")}),
    )
    found = np.zeros(len(questions))
    for number in range(len(questions)):
        query = Query(questions.histories.of(number), questions.asked_at(number), n=PLACES, recipe="cold", only=items)
        found[number] = np.isin(questions.relevant[number].indices, pipeline.rank(query).items).any()
    return found


def attribute_popularity(snapshot: Snapshot, questions: Questions, items: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the same for the order of ``items`` by the mean popularity of their values."""
    count = np.bincount(snapshot.interactions.all.item, minlength=len(snapshot.items))
    total, size = np.zeros(len(snapshot.items)), np.zeros(len(snapshot.items))
    for dimension in snapshot.manifest.dimensions:
        has = snapshot.item_values(dimension)
        total += has @ (has.T @ count)
        size += np.diff(has.indptr)
    first = items[np.argsort(-(total / np.maximum(size, 1))[items], kind="stable")[:PLACES]]
    return np.asarray(questions.relevant[:, first].sum(axis=1) > 0, np.float64).ravel()


def settings_of(trial: optuna.trial.BaseTrial) -> NewcomersSettings:
    """Return settings that ``trial`` suggests."""
    return NewcomersSettings(
        step_decay=trial.suggest_float("step_decay", 0.4, 1.0),
        values_weight=trial.suggest_float("values_weight", 0.0, 1.0),
        following_weight=trial.suggest_float("following_weight", 0.1, 10.0, log=True),
        values=ValuesSettings(largest_share=trial.suggest_float("largest_share", 0.02, 0.5, log=True)),
    )


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a leave-one-out set.")],
    quick: Annotated[bool, typer.Option("--quick", help="Few trials.")] = False,
    out: Json = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the hidden items.")] = 0,
) -> None:
    """Hide a tenth of the items, and look for who chose them."""
    rng = np.random.default_rng(seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        whole = read(folder, Protocol.LEAVE_ONE_OUT, False, Path(name), rng).snapshot
        n, everything = len(whole.items), whole.interactions

        def step(from_end: int, cold: NDArray[np.bool_]) -> tuple[Snapshot, Questions]:
            stage = hidden(everything, from_end, cold)
            return of_interactions(whole, stage.known, whole.manifest.as_of, Path(name)), stage.questions

        drawn = rng.random(n)
        cold, pretended = drawn < HIDDEN, (drawn >= HIDDEN) & (drawn < 2 * HIDDEN)
        earlier, lessons = step(1, cold | pretended)
        asked = lessons.those(np.flatnonzero(np.asarray(lessons.relevant[:, pretended].sum(axis=1)).ravel() > 0))
        asked = asked.sample(QUESTIONS, rng)
        pretended_items = np.flatnonzero(pretended).astype(np.int32)

        def value(trial: optuna.Trial) -> float:
            scorer = Newcomers.fit(earlier, settings_of(trial), rng)
            return float(recall(scorer, earlier, asked, pretended_items).mean())

        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        study.enqueue_trial({"step_decay": 0.7, "values_weight": 0.3, "following_weight": 1.0, "largest_share": 0.2})
        study.optimize(value, 4 if quick else TRIALS)
        best = settings_of(optuna.trial.FixedTrial(study.best_params))

        snapshot, questions = step(0, cold)
        items = np.flatnonzero(cold).astype(np.int32)
        alone = best.model_copy(update={"following_weight": 0.0})
        found = {
            "popularity of the attributes": attribute_popularity(snapshot, questions, items),
            "titles alone": recall(
                Newcomers.fit(snapshot, alone.model_copy(update={"values_weight": 0.0}), rng),
                snapshot,
                questions,
                items,
            ),
            "attributes alone": recall(
                Newcomers.fit(snapshot, alone.model_copy(update={"values_weight": 1.0}), rng),
                snapshot,
                questions,
                items,
            ),
            "titles and attributes": recall(Newcomers.fit(snapshot, alone, rng), snapshot, questions, items),
            "newcomers": recall(Newcomers.fit(snapshot, best, rng), snapshot, questions, items),
        }
        visitors = new_visitors(whole, Path(name), rng)
    figures = {
        "asked": len(questions),
        "hidden_items": len(items),
        "chosen": study.best_params,
        "recall@10": {"chance": {"mean": PLACES / len(items)}}
        | {label: over_people(values) for label, values in found.items()},
        "new_visitors_recall@10": {label: over_people(values) for label, values in visitors.items()},
    }
    table = Table(title=f"{len(questions)} people, {len(items)} hidden items", title_justify="left")
    table.add_column("ranked by")
    table.add_column("recall@10", justify="right")
    table.add_row("chance", f"{PLACES / len(items):.4f}")
    for label, values in {**found, **visitors}.items():
        interval = over_people(values)
        table.add_row(label, "{mean:.4f} ({low:.4f} to {high:.4f})".format(**interval))
    Console(width=100).print(table)
    save(figures, out)


def new_visitors(whole: Snapshot, folder: Path, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return whether the last items of people are found among all, knowing nothing of them, and their first item."""
    everything = whole.interactions
    asked = rng.permutation(everything.n_users)[: everything.n_users // 5]
    known = everything.where(~np.isin(everything.users(), asked))
    snapshot = of_interactions(whole, known, whole.manifest.as_of, folder)
    popularity = Popularity.fit(snapshot, PopularitySettings(half_life_days=60), rng)
    clicked = Analogies.fit(snapshot, AnalogiesSettings(), rng)
    pipeline = Pipeline(
        Bundle.of(snapshot, [popularity, clicked], clicked.name, snapshot.manifest.as_of, ""),
        Recipes(recipes={name: Recipe(ranker=name) for name in (popularity.name, clicked.name)}),
    )
    found = {"new visitor, nothing known": np.zeros(len(asked)), "new visitor, one click": np.zeros(len(asked))}
    for row, user in enumerate(asked.tolist()):
        history = everything.of(user)
        context = history.item[:1]
        for label, recipe in zip(found, (popularity.name, clicked.name), strict=True):
            page = context if recipe == clicked.name else context[:0]
            query = Query(History.empty(), whole.manifest.as_of, n=PLACES, recipe=recipe, context=page)
            found[label][row] = history.item[-1] in pipeline.rank(query).items
    return found


def over_people(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean of ``values`` and its interval over people."""
    return asdict(bootstrap_interval(values, np.random.default_rng(0)))


if __name__ == "__main__":
    run_alone(main, "benchmarks.cold_start")
