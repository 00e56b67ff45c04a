"""The models that can be fitted, by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from numpy.random import Generator
from pydantic import Field, PositiveFloat

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
    """How long a time the purchases come from that the blend learns from: the last of the snapshot."""
    negatives: float = Field(default=0.3, gt=0, le=1)
    """Share of the candidates that were not bought that is learned from."""
    short_histories: float = Field(default=0.1, ge=0, le=1)
    """Share of people who are learned from a second time with only the last part of their history, or none."""


def _parts(snapshot: Snapshot, settings: BlendedSettings, rng: Generator) -> dict[str, Scorer]:
    return {
        Popularity.name: Popularity.fit(snapshot, settings.popularity, rng),
        ItemToItem.name: ItemToItem.fit(snapshot, settings.item_to_item, rng),
        ALS.name: ALS.fit(snapshot, settings.als, rng),
        Affinity.name: Affinity.fit(snapshot, settings.affinity, rng),
        BuyAgain.name: BuyAgain.fit(snapshot, settings.buy_again, rng),
    }


def _blended(snapshot: Snapshot, settings: BlendedSettings, rng: Generator) -> tuple[dict[str, Scorer], str]:
    start = snapshot.manifest.as_of - timedelta(days=settings.horizon_days)
    counts = settings.blend.candidates
    with tempfile.TemporaryDirectory() as folder:
        earlier = _parts(before(snapshot, start, Path(folder)), settings, rng)
    examples = replay(earlier, counts, snapshot.interactions, start, settings.negatives, settings.short_histories, rng)
    parts = _parts(snapshot, settings, rng)
    blend = Blend.fit(parts, examples.columns, examples.bought, settings.blend, rng)
    return {**parts, Blend.name: blend}, Blend.name


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
