"""Public data sets, answered by what serves: models chosen on validation alone, and one look at the test."""

from __future__ import annotations

import math
import resource
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, process_time, thread_time
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from rich.progress import Progress

from evaluation import ranking_metrics
from evaluation.ranking_metrics import Judged
from features.interactions import DAY_S, Interactions
from features.layout import Layout
from features.settings import Settings
from features.snapshot import Snapshot
from features.snapshot_job import of_interactions
from models.blend import Blend, BlendSettings
from models.distilled import Distilled, DistilledSettings
from models.merged import Merged, MergedSettings
from models.scorer import Scorer, Scores
from models.weighted_sum import WeightedSum, WeightedSumSettings
from training.chooser import BLENDS, PARTS, Choice, Data, best_settings, without_history
from training.datasets import Protocol, Questions, read
from training.distillation import ROWS, distilled, refitted
from training.lessons import Lessons
from training.processes import processes, watched_memory
from training.protocols import Plan, plan, ties_shuffled
from training.stages import (
    RANKED_AT_ONCE,
    Ranker,
    asked,
    fit_and_weigh,
    fit_parts,
    parts_in,
    query,
    ranked,
    rounds,
    sum_up,
)
from training.studies import Studies
from training.tracking import Tracking

DISTILLED: Final = "distilled"
FIRST: Final = "lessons-1"
VALIDATION: Final = "validation"
MORE: Final = "validation-lessons"
"""What of the validation is not chosen by, where it makes lessons too."""
TEST: Final = "test"
REFIT: Final = "refit"
TRIALS: Final = 24
"""For each part, at most."""
SHARE_FOR_PARTS: Final = 0.24
"""Share of the budget that is spent on the settings of parts."""
QUESTIONS_ALONE: Final = 1_500
"""So many questions of the validation choose the settings of a part."""
QUESTIONS_TOGETHER: Final = 15_000
"""So many choose the blend, at most; where the test knows the validation, its trees learn from them too."""
QUESTIONS_TO_TELL: Final = 5_000
"""So few do not tell blends apart: lessons that they did not learn from are asked beside them."""
QUESTIONS_EXPLAINED: Final = 200
QUESTIONS_DISTILLED: Final = 8_000
"""So many compare small blends with the large one."""
QUESTIONS_TIMED: Final = 150
"""So many tell how long an answer takes."""
ROUNDS_TIMED: Final = 5
"""So many times each of them is asked; the shortest counts."""
QUESTIONS_FOR_SUM: Final = 4_000
LESSON_ROWS: Final = 3_000_000
"""So many candidates are learned from, at most: it is what the growth of trees leaves time for."""
SHARE_UNTIL_ASKED: Final = 0.52
"""Share of the budget after which nothing more is asked, neither for lessons nor of the validation; see also
``LEAST_SHARE_TO_ASK``."""
LEAST_SHARE_TO_ASK: Final = 0.1
"""Share of the budget in which it is asked even where fits took so long that no time is left: trees that learned from
few lists are worse than parts whose settings are."""
ROWS_TO_CHOOSE: Final = 700_000
"""So many of them tell which blend is best, where the best is grown again with the validation, and of those that few
questions do not tell apart; see ``QUESTIONS_TO_TELL``."""
SHARE_UNTIL_OTHER_TREES: Final = 0.6
"""Share of the budget after which no other trees are begun."""
SHARE_UNTIL_LAST_TREES: Final = 0.86
"""Share of the budget after which the trees that are kept shall have grown: what they could not learn from by then is
left out, judged by those before."""
SHARE_UNTIL_DISTILLED: Final = 0.94
"""Share of the budget after which no other small blend is begun."""
MEASURES: Final = {
    "recall": ranking_metrics.recall,
    "ndcg": ranking_metrics.ndcg,
    "hr": ranking_metrics.hit_rate,
    "mrr": ranking_metrics.reciprocal_rank,
}
DEFINITIONS: Final = {
    "recall": "found among the first k / all that was to be found, mean over questions",
    "hr": "share of questions whose one answer is among the first k",
    "ndcg": "binary gains, discount 1 / log2(1 + place), divided by the best possible over min(k, relevant) places",
    "mrr": "1 / place of the answer, 0 beyond k, mean over questions",
}


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What the validation chose.

    Attributes:
        parts: The settings of each part.
        blend: Those of the blend.
        trees: What the blend learned from the lessons; see ``Blend.model``.
        distilled: The settings of a small blend of some of the parts, that answers in a fraction of the time.
        distilled_trees: What that learned.
        fitted: Where the parts lie that were fitted for the test, and for its laxer variant; empty where there is none.
    """

    parts: dict[str, Settings]
    blend: BlendSettings
    trees: NDArray[np.uint8]
    distilled: DistilledSettings
    distilled_trees: NDArray[np.uint8]
    fitted: Mapping[str, Path]


class Benchmark:
    """One set of interactions under one protocol."""

    def __init__(
        self,
        snapshot: Snapshot,
        timed: bool,
        plan: Plan,
        studies: Studies,
        budget_minutes: float,
        seed: int,
        folder: Path,
        progress: Progress,
        workers: Executor,
        at_once: int,
    ) -> None:
        """Prepare what the stages of ``plan`` ask of ``snapshot``.

        Args:
            snapshot: All that is known.
            timed: Whether its times are real; where not, they tell the order alone.
            plan: The stages of its test.
            studies: Where trials are kept.
            budget_minutes: Time to choose and fit.
            seed: Of everything that is drawn.
            folder: Where snapshots of parts of the interactions lie.
            progress: Where it is shown how far things are.
            workers: They fit and ask.
            at_once: How many there are.
        """
        self._whole = snapshot
        self._timed = timed
        self._plan = plan
        self._studies = studies
        self._budget_s = 60 * budget_minutes
        self._seed = seed
        self._folder = folder
        self._progress = progress
        self._workers = workers
        self._at_once = at_once
        # What is needed whatever the time comes first.
        self._stages = {FIRST: plan.lessons[0], VALIDATION: plan.validation} | {
            f"lessons-{number}": stage for number, stage in enumerate(plan.lessons[1:], 2)
        }
        self._snapshots: dict[str, Snapshot] = {}
        self._start_s = monotonic()

    def choose(self) -> tuple[Chosen, dict[str, Any]]:
        """Return what does best on the validation, and how that came about."""
        rng = np.random.default_rng(self._seed)
        validation = self._snapshot(VALIDATION, self._plan.validation.known)
        choices = self._choices(validation, rng)
        settings, folders = self._fit_stages({name: choice.settings for name, choice in choices.items()}, rng)
        counts, parts = self._counts(settings), parts_in(folders[VALIDATION])
        questions, answered, lessons, more = self._asked(folders, counts, rng)
        for_test = self._begin_test(settings)
        few_lessons = lessons.some(ROWS_TO_CHOOSE, rng) if self._plan.learns_from_validation else lessons
        decisive = self._plan.metrics[-1]
        found: list[tuple[dict[str, float], Blend, float]] = []
        # Trees whose leaves could not be filled learn nothing: the more rows they lack, the later they come.
        for config in sorted(BLENDS, key=lambda one: max(0, one.leaves * one.least_rows - len(few_lessons.right))):
            if found and monotonic() > self._until_s(SHARE_UNTIL_OTHER_TREES):
                break
            start_s, start_cpu_s = monotonic(), process_time()
            blend = self._grown(parts, few_lessons, config.model_copy(update={"candidates": counts}))
            took_s = monotonic() - start_s
            if all(one.done() for one in for_test.values()):
                # Those that grow next have the processor for themselves, which these may not have had.
                took_s = min(took_s, (process_time() - start_cpu_s) / config.threads)
            row_s = took_s / len(few_lessons.right)
            judged = answered.judged(blend.scores_of(answered.columns), self._plan.places)
            found.append((self._measured(judged, len(answered.list_lengths)), blend, row_s))

        def value(one: tuple[dict[str, float], Blend, float]) -> float:
            return self._value(one[0][decisive], len(answered.list_lengths), one[1], few_lessons)

        metrics, best, row_s = max(found, key=value) if len(found) > 1 else found[0]
        last, for_small = best, lessons
        if self._plan.learns_from_validation:
            rows = max(len(few_lessons.right), (self._until_s(SHARE_UNTIL_LAST_TREES) - monotonic()) / row_s)
            # These are gigabytes, and nothing needs them while the last trees grow.
            del few_lessons
            answered = answered.thinned(rng).telling()
            every = Lessons.together([lessons, answered, more])
            del answered, more
            every, for_small = every.some(rows, rng), every.some(ROWS, rng)
            last = self._grown(parts, every, best.config)
            del every
        shares = _shares(best, questions.sample(QUESTIONS_EXPLAINED, rng), self._plan.repeats)
        few = questions.sample(QUESTIONS_DISTILLED, rng)
        timed = few.sample(QUESTIONS_TIMED, rng)
        # Small blends are chosen by how long they take, too: nothing else is done beside them.
        with self._task("Fit for the test", None):
            for one in for_test.values():
                one.result()

        def ranker(blend: Blend) -> Ranker:
            return self._ranker(VALIDATION, folders[VALIDATION], type(blend), blend.config, blend.model)

        with self._task("Distil", None):
            small = distilled(
                parts,
                lessons,
                lambda blend: self._metrics(ranker(blend), few)[decisive],
                lambda blends: [one["median"] for one in self._answering_ms(list(map(ranker, blends)), timed)],
                best,
                shares,
                rng,
                self._until_s(SHARE_UNTIL_DISTILLED),
            )
            kept = refitted(parts, for_small, small.blend.config, rng)
        how = {
            "parts": {
                name: {"settings": one.settings.model_dump(), "ndcg@20": one.ndcg, "trials": one.trials}
                for name, one in choices.items()
            },
            "blend": best.config.model_dump(),
            "validation": metrics,
            "shares": shares,
            "lesson_rows": len(lessons.right),
            "distilled": {
                "blend": small.blend.config.model_dump(),
                "kept": small.kept,
                "answering_ms": small.answering_ms,
            },
        }
        ready = {name: self._folder / name for name in for_test}
        return Chosen(settings, last.config, last.model, kept.config, kept.model, ready), how

    def test(self, chosen: Chosen) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Return the metrics of the test, and those of its variants by name."""
        stage = self._plan.test
        assert stage is not None
        full, small = self._rankers(chosen, TEST)
        questions = stage.questions
        metrics = self._metrics(full, questions)
        variants = {DISTILLED: self._metrics(small, questions)}
        # Who comes first in a file was often there first, and did the most: no typical user.
        some = questions.sample(QUESTIONS_TIMED, np.random.default_rng(self._seed))
        self.answering_ms = dict(zip(("full", DISTILLED), self._answering_ms((full, small), some), strict=True))
        if self._plan.refit is not None:
            shuffled = ties_shuffled(questions, np.random.default_rng(self._seed))
            variants["ties shuffled"] = self._metrics(full, shuffled)
            knowing, _ = self._rankers(chosen, REFIT)
            variants["refitted with the validation items"] = self._metrics(knowing, questions)
        return metrics, variants

    def _value(self, reached: float, questions: int, blend: Blend, lessons: Lessons) -> float:
        """Return what ``blend`` is chosen by: what it ``reached`` on so many ``questions`` of the validation.

        Where these are few, it is the mean of that and of what blends of its kind reach on lessons that are new to
        them.
        """
        if questions >= QUESTIONS_TO_TELL or len(lessons.list_lengths) < 2:
            return reached
        lessons = lessons.some(ROWS_TO_CHOOSE, np.random.default_rng(self._seed))

        def scores(learned: Lessons, asked_for: Lessons) -> Scores:
            return self._grown(blend.parts, learned, blend.config).scores_of(asked_for.columns)

        total = self._measured(lessons.crossed(scores, self._plan.places), 1)[self._plan.metrics[-1]]
        return (questions * reached + total) / (questions + len(lessons.list_lengths))

    def _grown(self, parts: Mapping[str, Scorer], lessons: Lessons, config: BlendSettings) -> Blend:
        with self._task("Grow trees", None):
            rng = np.random.default_rng(self._seed)
            return Blend.fit(parts, lessons.columns, lessons.right, config, rng, lessons.list_lengths)

    def _rankers(self, chosen: Chosen, stage: str) -> tuple[Ranker, Ranker]:
        """Return the large and the small blend of what is ``chosen``, of the parts that were fitted for ``stage``."""
        parts = chosen.fitted[stage]
        return (
            self._ranker(stage, parts, Blend, chosen.blend, chosen.trees),
            self._ranker(stage, parts, Distilled, chosen.distilled, chosen.distilled_trees),
        )

    def _ranker(
        self, stage: str, parts: Path, blend: type[Blend], config: BlendSettings, model: NDArray[np.uint8]
    ) -> Ranker:
        return Ranker(self._snapshots[stage].folder, parts, blend, config, model, self._plan.repeats)

    def _metrics(self, ranker: Ranker, questions: Questions) -> dict[str, float]:
        """Return the metrics of the protocol; a question for what nobody ever chose is a miss."""
        answerable = questions.those(np.flatnonzero(np.diff(questions.relevant.indptr)))
        with self._task("Answer questions", -(-len(answerable) // RANKED_AT_ONCE)) as advance:
            rankings = ranked(ranker, answerable, self._plan.places, self._workers, advance)
        return self._measured(ranking_metrics.judged(rankings, answerable.relevant), len(questions))

    def _answering_ms(self, rankers: Sequence[Ranker], questions: Questions) -> list[dict[str, float]]:
        """Return how long each takes to answer a question, in milliseconds of computation of one core.

        All are asked in several rounds and the shortest time counts, for others may be at work on the same processor.
        """
        pipelines = [ranker.pipeline() for ranker in rankers]
        took_ms = np.empty((ROUNDS_TIMED, len(rankers), len(questions)))
        for turn, at, number in np.ndindex(took_ms.shape):
            asked_for = query(questions, number, self._plan.places)
            start_s = thread_time()
            pipelines[at].rank(asked_for)
            took_ms[turn, at, number] = 1000 * (thread_time() - start_s)
        medians, p99s = np.percentile(took_ms.min(axis=0), [50, 99], axis=1).tolist()
        return [{"median": median, "p99": p99} for median, p99 in zip(medians, p99s, strict=True)]

    def _measured(self, judged: Judged, n_questions: int) -> dict[str, float]:
        found = {}
        for name in self._plan.metrics:
            metric, k = name.split("@")
            found[name] = float(MEASURES[metric](judged, int(k)).sum() / n_questions)
        return found

    def _choices(self, snapshot: Snapshot, rng: Generator) -> dict[str, Choice]:
        """Return the best settings of each part that knows anything of the answers."""
        manifest = snapshot.manifest
        first, last = manifest.first_event_at, manifest.last_event_at
        span_days = max(1.0, (last - first).total_seconds() / DAY_S) if first and last else 1.0
        titles = snapshot.catalog["title"]
        data = Data(
            repeats=self._plan.repeats,
            ordered=self._plan.ordered,
            timed=self._timed,
            dated=self._plan.dated,
            described=bool(manifest.dimensions) or titles.null_count() < len(titles),
            span_days=span_days,
            n_items=len(snapshot.items),
        )
        questions = self._plan.validation.questions.sample(QUESTIONS_ALONE, rng)
        answerable = np.flatnonzero(np.diff(questions.relevant.indptr))
        questions = questions.those(answerable)
        suited = {name: part.share for name, part in PARTS.items() if part.suits(data)}
        choices = {}
        until_s, a_share_s = 0.0, self._at_once * self._budget_s * SHARE_FOR_PARTS / sum(suited.values())
        for name, share in suited.items():
            until_s += share * a_share_s
            with self._task(f"Choose settings: {name}", TRIALS) as advance:
                choice = best_settings(
                    name,
                    data,
                    snapshot,
                    questions,
                    self._studies,
                    TRIALS,
                    until_s,
                    rng,
                    self._workers,
                    self._at_once,
                    advance,
                )
            if choice.ndcg > 0 or not choice.trials:
                choices[name] = choice
        return choices

    def _fit_stages(self, settings: dict[str, Settings], rng: Generator) -> tuple[dict[str, Settings], dict[str, Path]]:
        """Return all ``settings``, the sum of all parts and their merger included, and where the stages' parts lie.

        Of the lessons those are left out whose turn has not come when half of the time is over: few of many questions
        are better than many of few.
        """
        plan, submit, seed = self._plan, self._workers.submit, self._seed
        half_s = (monotonic() + self._until_s(SHARE_UNTIL_ASKED)) / 2
        known = {name: self._snapshot(name, stage.known).folder for name, stage in self._stages.items()}
        parts = {name: self._folder / f"{name}-parts" for name in known}
        with self._task("Fit the parts", len(known)) as advance:
            some = self._stages[FIRST].questions.sample(QUESTIONS_FOR_SUM, rng)
            weighed = submit(fit_and_weigh, known[FIRST], settings, seed, parts[FIRST], some, plan.repeats)
            fits = {
                name: submit(fit_parts, known[name], settings, seed, parts[name], end_s)
                for name, end_s in {**dict.fromkeys(known, half_s), VALIDATION: math.inf}.items()
                if name != FIRST
            }
            weights = weighed.result()
            settings = settings | {
                WeightedSum.name: WeightedSumSettings(
                    weights=weights, n_items=len(self._whole.items), repeats=plan.repeats
                ),
                Merged.name: MergedSettings(weights=weights, step_decay=0.6 if plan.ordered else 1.0),
            }
            folders = {name: self._folder / name for name in known if name == FIRST or fits[name].result()}
            sums = [submit(sum_up, known[name], parts[name], settings, folder) for name, folder in folders.items()]
            for one in sums:
                one.result()
                advance()
        return settings, folders

    def _asked(
        self, folders: Mapping[str, Path], counts: Mapping[str, int], rng: Generator
    ) -> tuple[Questions, Lessons, Lessons, Lessons]:
        """Return the questions to choose by, what was answered to the first of these, the lessons, and those of MORE.

        They are asked in random order, for time may end before all are.
        """
        questions = {name: self._stages[name].questions for name in folders}
        questions = {name: one.those(rng.permutation(len(one))) for name, one in questions.items()}
        at, most = np.arange(len(questions[VALIDATION])), QUESTIONS_TOGETHER
        left = at[most:] if self._plan.learns_from_validation else at[:0]
        questions |= {VALIDATION: questions[VALIDATION].those(at[:most]), MORE: questions[VALIDATION].those(left)}
        most_rows = dict.fromkeys(folders.keys() - {VALIDATION}, LESSON_ROWS / (len(folders) - 1)) | {MORE: LESSON_ROWS}
        with self._task("Ask", sum(map(rounds, questions.values()))) as advance:
            found = asked(
                {**folders, MORE: folders[VALIDATION]},
                questions,
                most_rows,
                counts,
                self._plan.repeats,
                rng,
                self._workers,
                self._at_once,
                max(self._until_s(SHARE_UNTIL_ASKED), monotonic() + self._budget_s * LEAST_SHARE_TO_ASK),
                advance,
            )
        answered, more = (found.pop(name) for name in (VALIDATION, MORE))
        lessons = Lessons.together([one.telling() for one in found.values()])
        return questions[VALIDATION], answered, lessons, more.telling()

    def _begin_test(self, settings: dict[str, Settings]) -> dict[str, Future[bool]]:
        """Begin to fit what the test asks, for trees leave a processor idle now and then; return that by its name."""
        test = {TEST: self._plan.test.known if self._plan.test else None, REFIT: self._plan.refit}
        return {
            name: self._workers.submit(
                fit_parts, self._snapshot(name, known).folder, settings, self._seed, self._folder / name
            )
            for name, known in test.items()
            if known is not None
        }

    def _until_s(self, share: float) -> float:
        """Return when so much of the budget is spent, by ``monotonic()``."""
        return self._start_s + self._budget_s * share

    def _counts(self, settings: Mapping[str, Settings]) -> dict[str, int]:
        """Return how many candidates each part proposes: the sum knows what all others would."""
        return dict.fromkeys(settings, 0) | {WeightedSum.name: self._plan.candidates}

    def _snapshot(self, name: str, known: Interactions) -> Snapshot:
        """Return the snapshot of what is ``known`` in the stage ``name``."""
        if name not in self._snapshots:
            # Ages are counted from where knowledge ends, so that columns mean in lessons what they mean in the test.
            as_of = datetime.fromtimestamp(int(known.all.timestamp_s.max()) + 1, UTC)
            self._snapshots[name] = of_interactions(self._whole, known, as_of, self._folder)
        return self._snapshots[name]

    @contextmanager
    def _task(self, words: str, total: int | None) -> Iterator[Callable[[], None]]:
        task = self._progress.add_task(words, total=total)
        yield lambda: self._progress.advance(task)
        self._progress.update(task, total=total or 1, completed=total or 1)


def benchmark(
    folder: Path,
    protocol: Protocol,
    budget_minutes: float,
    seed: int,
    ids_only: bool,
    progress: Progress,
    workers: int,
    layout: Layout | None = None,
) -> dict[str, Any]:
    """Return what came of the data set in ``folder``, ready for JSON.

    With a ``layout`` the trials are kept there, and tracked: an interrupted choice goes on where it was.

    Raises:
        NotFound: a file is missing.
        InvalidInput: a file does not fit the protocol.
    """
    start = monotonic()
    with ExitStack() as stack:
        memory = stack.enter_context(watched_memory())
        pool = stack.enter_context(processes(workers))
        workshop = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dataset = read(folder, protocol, ids_only, workshop, np.random.default_rng(seed))
        tags = {"snapshot_hash": dataset.snapshot.manifest.snapshot_hash, "protocol": protocol.value, "seed": str(seed)}
        studies = Studies()
        if layout is not None:
            title = f"benchmark {folder.name}"
            studies = stack.enter_context(Studies.kept(layout, Tracking(layout.mlflow), title, tags))
        stages = plan(dataset, protocol, np.random.default_rng(seed))
        one = Benchmark(
            dataset.snapshot,
            dataset.timed,
            stages,
            studies,
            budget_minutes,
            seed,
            workshop / "known",
            progress,
            pool,
            workers,
        )
        chosen, how = one.choose()
        chosen_s = monotonic() - start
        metrics, variants = one.test(chosen)
        if studies.run is not None:
            studies.run.metrics({name.replace("@", "_"): value for name, value in metrics.items()})
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "dataset": folder.resolve().name,
        "protocol": protocol.value,
        "metrics": metrics,
        "variants": variants,
        "answering_ms": one.answering_ms,
        "seconds": {
            "choose": chosen_s,
            "all": monotonic() - start,
            "cpu": process_time() + others.ru_utime + others.ru_stime,
        },
        "peak_memory_mb": memory.peak_mb,
        "chosen": how,
        "definitions": {name: DEFINITIONS[name] for name in dict.fromkeys(one.split("@")[0] for one in metrics)},
        "seed": seed,
        "ids_only": ids_only,
    }


def _shares(blend: Blend, questions: Questions, repeats: bool) -> dict[str, float]:
    """Return the share of each part in what tells the ten best candidates from each other; they add up to 1."""
    total = dict.fromkeys(blend.parts, 0.0)
    for number in range(len(questions)):
        history = questions.histories.of(number)
        now = questions.asked_at(number)
        items = blend.candidates(history, 10 + (0 if repeats else len(history)), now)
        items = without_history(items, history.item, repeats)[:10]
        for name, values in blend.contributions(history, items, now).items():
            if name in total and len(values):
                total[name] += float(np.abs(values - values.mean()).sum())
    whole = sum(total.values()) or 1.0
    return {name: value / whole for name, value in total.items()}
