"""Trials of settings, kept so that a choice that was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import takewhile
from typing import Final

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from features.layout import Layout
from training.provenance import code_hash
from training.tracking import OpenRun, Tracking

PATIENCE: Final = 10
"""So many trials in a row that gain nothing end a study."""
LEAST_GAIN: Final = 0.001
"""What a trial must add to the best value, as a share of it, to count as a gain."""


class Studies:
    """The studies of one choice, each a search for the settings of one thing.

    With a run, each study is a run within it: the value of each trial is a step of the curve ``value``, that of the
    best so far one of ``best``, and the best settings are its parameters.
    """

    def __init__(
        self, name: str = "", storage: BaseStorage | None = None, runs: tuple[Tracking, OpenRun] | None = None
    ) -> None:
        """Take up the studies of ``name`` in ``storage``; without one they are forgotten with this object."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._name = name
        self._storage = storage
        self._runs = runs
        self.spent_s = 0.0
        """What all trials so far took, one after another, those of earlier attempts included."""

    @classmethod
    @contextmanager
    def kept(cls, layout: Layout, tracking: Tracking, title: str, tags: Mapping[str, str]) -> Iterator[Studies]:
        """Give the studies of what ``tags`` describe, kept below ``layout``, within a run called ``title``.

        Trials of other code are not taken up: settings that were good for it say little.
        """
        tags = dict(tags) | {"code_hash": code_hash()}
        name = hashlib.sha256(repr(sorted(tags.items())).encode()).hexdigest()[:16]
        layout.studies.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(layout.studies / f"{name}.jsonl")))
        with tracking.run(title, tags | {"study": name, "of": "choice"}, resume=True) as run:
            yield cls(name, storage, (tracking, run))

    @property
    def run(self) -> OpenRun | None:
        """The run of the whole choice, where there is one."""
        return self._runs[1] if self._runs else None

    def best(
        self,
        of: str,
        value: Callable[[Trial], Future[float]],
        start: Mapping[str, float],
        trials: int,
        at_once: int,
        until_s: float,
        seed: int,
        advance: Callable[[], None] = lambda: None,
    ) -> optuna.Study:
        """Return the study ``of`` something, which holds one finished trial at least.

        Args:
            of: Names it among those of this choice.
            value: Begins a trial, and returns what it will have reached; higher is better.
            start: Settings of the first trial.
            trials: How many to make, those of earlier attempts included, at most.
            at_once: How many are made beside each other.
            until_s: No further ones begin that, as long as those before, would bring ``spent_s`` beyond it.
            seed: Draws the settings that are tried.
            advance: Called after each trial.
        """
        name = f"{self._name}-{of}"
        study = optuna.create_study(direction="maximize", storage=self._storage, study_name=name, load_if_exists=True)
        _take_up(study)
        self.spent_s += sum(_duration_s(trial) for trial in study.trials)
        if not study.trials:
            study.enqueue_trial(dict(start))
        # A sampler of the same seed would suggest once more what was tried before the interruption.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        with self._tracked(of) as run:
            while not (done := _finished(study)) or (
                len(done) < trials
                and self.spent_s + at_once * sum(map(_duration_s, done)) / len(done) < until_s
                and not exhausted([_value(one) for one in done])
            ):
                asked = [study.ask() for _ in range(min(at_once, trials - len(done)))]
                begun = [(trial, value(trial)) for trial in asked]
                # Those of one round are told of in their order, so that what is tried next depends on nothing else.
                for trial, reached in begun:
                    last = study.tell(trial, reached.result())
                    self.spent_s += _duration_s(last)
                    if run is not None:
                        run.metrics({"value": _value(last), "best": study.best_value}, step=last.number)
                    advance()
            if run is not None:
                run.parameters(study.best_params)
        return study

    @contextmanager
    def _tracked(self, of: str) -> Iterator[OpenRun | None]:
        if self._runs is None:
            yield None
            return
        tracking, parent = self._runs
        with tracking.run(of, {"study": self._name, "of": of}, parent=parent, resume=True) as run:
            yield run


def exhausted(values: list[float]) -> bool:
    """Return whether the last ``PATIENCE`` of ``values`` gained nothing over the best of those before."""
    before = values[:-PATIENCE]
    return bool(before) and max(values) <= max(before) * (1 + LEAST_GAIN)


def _take_up(study: optuna.Study) -> None:
    """Make the trials that an interruption cut off the next ones."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    cut_off = list(takewhile(lambda trial: trial.state == TrialState.FAIL, reversed(study.get_trials())))
    for trial in reversed(cut_off):
        if trial.params:
            study.enqueue_trial(trial.params)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _duration_s(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration and trial.state == TrialState.COMPLETE else 0.0
