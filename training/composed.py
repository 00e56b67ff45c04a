"""A blend of any parts with any settings: what a choice ends in, fitted like every other model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from features.errors import AttuneError
from features.settings import Settings
from features.snapshot import Snapshot
from features.snapshot_job import before, weighed
from models.blend import Blend, BlendSettings
from models.bundle import scorer_class, settings_class
from models.distilled import Distilled, DistilledSettings
from models.merged import Merged
from models.newcomers import Newcomers, NewcomersSettings
from models.scorer import Scorer
from models.weighted_sum import WeightedSum
from training.distillation import refitted
from training.lessons import lessons_of
from training.protocols import bought_within

DEFAULT_PARTS: Final[dict[str, dict[str, Any]]] = {"buy-again": {}, "item-to-item": {}, "popularity": {}}


class ComposedSettings(Settings):
    """Which parts a blend is made of, and how all are fitted."""

    parts: dict[str, dict[str, Any]] = Field(default=DEFAULT_PARTS, min_length=1, validate_default=True)
    """The settings of each part, by the name of its scorer."""
    blend: BlendSettings = BlendSettings(objective="lambdarank", candidates=dict.fromkeys(DEFAULT_PARTS, 100))
    """How the parts are blended."""
    newcomers: NewcomersSettings | None = NewcomersSettings()
    """How items that nobody chose yet are ranked, beside the others; None where they are not."""
    distilled: DistilledSettings | None = None
    """How some of them are blended for requests that must not wait; None for no such blend."""
    event_weights: dict[str, float] | None = None
    """Weight of one event of each type, in place of those of the snapshot."""
    horizon_days: PositiveFloat = 28.0
    """How long a time the purchases come from that the blend learns from: the last of the snapshot."""
    people: PositiveInt = 24_000
    """How many people's purchases it learns from, at most."""

    @field_validator("parts")
    @classmethod
    def _of_their_classes(cls, parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        try:
            return {name: part_settings(name, given).model_dump(mode="json") for name, given in parts.items()}
        except AttuneError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _blends_its_parts(self) -> Self:
        self.blend.require_parts(self.parts)
        if self.distilled is not None and (others := self.distilled.candidates.keys() - self.parts.keys()):
            raise ValueError(f"distilled.candidates names {min(others)}, which is none of {', '.join(self.parts)}")
        return self


def part_settings(name: str, given: Mapping[str, Any]) -> Settings:
    """Return the settings of the part ``name`` that ``given`` describes.

    Raises:
        NotFound: there is no such scorer.
        InvalidInput: they do not fit it.
    """
    return settings_class(scorer_class(name)).of(dict(given), f"the part {name}")


def composed(snapshot: Snapshot, settings: ComposedSettings, rng: Generator) -> tuple[dict[str, Scorer], str]:
    """Return the parts and their blend, fitted on ``snapshot``, and the blend's name.

    The trees learn from what people bought in the last ``horizon_days``, given what the parts, fitted on the time
    before, knew at its start.

    Raises:
        InvalidInput: nobody who was known before bought anything in that time.
    """
    seed = int(rng.integers(2**31))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if settings.event_weights is not None:
            snapshot = weighed(snapshot, settings.event_weights, folder)
        end = snapshot.manifest.as_of
        start = end - timedelta(days=settings.horizon_days)
        stage = bought_within(snapshot.interactions, len(snapshot.items), int(start.timestamp()), int(end.timestamp()))
        of_parts = {name: part_settings(name, given) for name, given in settings.parts.items()}
        earlier = fitted(before(snapshot, start, folder), of_parts, seed)
        questions = stage.questions.sample(settings.people, rng)
        lessons = lessons_of(earlier, settings.blend.candidates, questions, repeats=True).telling()
        parts = fitted(snapshot, of_parts, seed)
        others: dict[str, Scorer] = {}
        if settings.newcomers is not None:
            others[Newcomers.name] = Newcomers.fit(snapshot, settings.newcomers, rng)
    blend = Blend.fit(parts, lessons.columns, lessons.right, settings.blend, rng, lessons.list_lengths)
    if settings.distilled is not None:
        others[Distilled.name] = refitted(parts, lessons, settings.distilled, rng)
    return {**parts, **others, Blend.name: blend}, Blend.name


def fitted(snapshot: Snapshot, settings: Mapping[str, Settings], seed: int) -> dict[str, Scorer]:
    """Return the parts that ``settings`` name, fitted on ``snapshot``; their sum and their merger come last."""
    parts: dict[str, Scorer] = {
        name: scorer_class(name).fit(snapshot, one, np.random.default_rng(seed))  # type: ignore[attr-defined]
        for name, one in settings.items()
        if name not in (WeightedSum.name, Merged.name)
    }
    return summed(parts, settings, len(snapshot.items))


def summed(parts: Mapping[str, Scorer], settings: Mapping[str, Settings], n_items: int) -> dict[str, Scorer]:
    """Return ``parts``, and behind them their sum and their merger, as far as ``settings`` name them."""
    found = dict(parts)
    if WeightedSum.name in settings:
        config = settings[WeightedSum.name].model_copy(update={"n_items": n_items})
        found[WeightedSum.name] = WeightedSum.from_arrays(config, {}, parts)
    if Merged.name in settings:
        found[Merged.name] = Merged.of(parts, settings[Merged.name], n_items)
    return found
