"""The models that can be fitted, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from features.settings import Settings
from features.snapshot import Snapshot
from features.snapshot_job import before
from models.affinity import Affinity, AffinitySettings
from models.als import ALS, ALSSettings
from models.blend import Blend, BlendSettings
from models.buy_again import BuyAgain, BuyAgainSettings
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.own_frequency import OwnFrequency, OwnFrequencySettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Scorer
from training.composed import ComposedSettings, composed
from training.examples import replay
from training.lessons import Lessons


@dataclass(frozen=True, slots=True)
class Model:
    """Something that can be fitted.

    Attributes:
        settings: The class that configures it.
        fit: Returns all scorers that it takes, parts first, by name, and the name of the one that ranks.
    """

    settings: type[Settings]
    fit: Callable[[Snapshot, Any, Generator], tuple[dict[str, Scorer], str]]


class BlendedSettings(Settings):
    """How the blend and its parts are fitted."""

    popularity: PopularitySettings = PopularitySettings()
    item_to_item: ItemToItemSettings = ItemToItemSettings()
    als: ALSSettings = ALSSettings()
    affinity: AffinitySettings = AffinitySettings()
    buy_again: BuyAgainSettings = BuyAgainSettings()
    blend: BlendSettings = BlendSettings()
    horizon_days: PositiveFloat = 28.0
    """How long a period the purchases come from that somebody's example tells of."""
    periods: PositiveInt = 2
    """How many such periods the blend learns from, since the weeks of one are not like those of another: the last ones,
    each given what was known before it; fewer where the log is too short."""
    people: PositiveInt = 2_500
    """How many people are learned from, at most, an equal part of them in each period."""
    negatives: float = Field(default=0.3, gt=0, le=1)
    """Share of the candidates that were not bought that is learned from."""
    short_histories: float = Field(default=0.1, ge=0, le=1)
    """Share of people who are learned from a second time with only the last part of their history, or none."""

    @field_validator("blend")
    @classmethod
    def _blends_its_parts(cls, blend: BlendSettings) -> BlendSettings:
        blend.require_parts(BlendSettings().candidates)
        return blend


def _parts(snapshot: Snapshot, settings: BlendedSettings, rng: Generator) -> dict[str, Scorer]:
    return {
        Popularity.name: Popularity.fit(snapshot, settings.popularity, rng),
        ItemToItem.name: ItemToItem.fit(snapshot, settings.item_to_item, rng),
        ALS.name: ALS.fit(snapshot, settings.als, rng),
        Affinity.name: Affinity.fit(snapshot, settings.affinity, rng),
        BuyAgain.name: BuyAgain.fit(snapshot, settings.buy_again, rng),
    }


def _blended(snapshot: Snapshot, settings: BlendedSettings, rng: Generator) -> tuple[dict[str, Scorer], str]:
    periods = _periods(snapshot, settings)
    n_users = snapshot.interactions.n_users
    lessons = []
    for start, end in periods:
        with tempfile.TemporaryDirectory() as folder:
            earlier = _parts(before(snapshot, start, Path(folder)), settings, rng)
        people = rng.permutation(np.arange(n_users, dtype=np.int32))[: max(1, settings.people // len(periods))]
        shares = settings.negatives, settings.short_histories
        counts = settings.blend.candidates
        lessons.append(replay(earlier, counts, snapshot.interactions, people, start, end, *shares, rng))
    parts = _parts(snapshot, settings, rng)
    told = Lessons.together(lessons)
    blend = Blend.fit(parts, told.columns, told.right, settings.blend, rng, told.list_lengths)
    return {**parts, Blend.name: blend}, Blend.name


def _periods(snapshot: Snapshot, settings: BlendedSettings) -> list[tuple[datetime, datetime]]:
    """Return start and end of the last periods, latest first; all but that have at least their length before them."""
    manifest, horizon = snapshot.manifest, timedelta(days=settings.horizon_days)
    ends = [manifest.as_of - number * horizon for number in range(settings.periods)]
    first = manifest.first_event_at or manifest.as_of
    return [(end - horizon, end) for number, end in enumerate(ends) if number == 0 or end - 2 * horizon >= first]


def _alone(scorer: Any, settings: type[Settings]) -> Model:
    def fit(snapshot: Snapshot, config: Settings, rng: Generator) -> tuple[dict[str, Scorer], str]:
        return {scorer.name: scorer.fit(snapshot, config, rng)}, scorer.name

    return Model(settings, fit)


MODELS: Final[dict[str, Model]] = {
    Popularity.name: _alone(Popularity, PopularitySettings),
    OwnFrequency.name: _alone(OwnFrequency, OwnFrequencySettings),
    ItemToItem.name: _alone(ItemToItem, ItemToItemSettings),
    ALS.name: _alone(ALS, ALSSettings),
    Affinity.name: _alone(Affinity, AffinitySettings),
    BuyAgain.name: _alone(BuyAgain, BuyAgainSettings),
    Blend.name: Model(BlendedSettings, _blended),
    "composed": Model(ComposedSettings, composed),
}
