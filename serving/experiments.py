"""Who gets which variant of an experiment: deterministic, the same for ever, and the same in every language.

A unit (the ``user_id`` of a request) has a position from 0 up to 1 for every purpose:

    position = the first 13 hexadecimal digits of SHA-256(UTF-8 of "PURPOSE/NAME/UNIT") / 16^13

Thirteen digits are 52 bits, which a double holds exactly. The purposes are ``layer`` (whether an experiment has the
unit), ``experiment`` (which variant), ``holdout`` and ``campaign`` (see ``campaigns``), and ``global_holdout``, whose
name is empty. Names hold no slash, so no two texts are the same. Another client can match it:
``tests/cases/assignments.json`` holds what must come out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from evaluation.attribution import Goal
from features.errors import InvalidInput
from features.settings import Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Share = Annotated[float, Field(gt=0, le=1)]

GLOBAL_HOLDOUT: Final = "global_holdout"
"""Those who are in no experiment and see no campaign, and under which name their decisions are compared."""
HELD_OUT: Final = "held_out"
TREATED: Final = "treated"


def position(purpose: str, name: str, unit: str) -> float:
    """Return where ``unit`` stands for a purpose, from 0 up to 1; uniform, and independent between purposes."""
    digest = hashlib.sha256(f"{purpose}/{name}/{unit}".encode()).hexdigest()
    return int(digest[:13], 16) / 16**13


def divided(shares: Mapping[str, float], at: float) -> str:
    """Return the name whose stretch of 0 to 1 holds ``at``; stretches lie in the order given, as long as the shares."""
    total, end = sum(shares.values()), 0.0
    for name, share in shares.items():
        end += share
        if at * total < end:
            return name
    return name  # rounding: the last stretch ends at 1


class Variant(Settings):
    """One side of an experiment; without ``recipe`` or ``campaigns`` it is what would happen without it."""

    share: Annotated[float, Field(gt=0)] = 1.0
    """Share of the experiment's units, divided by the sum of all shares."""
    recipe: Name | None = None
    """Ranks in place of the experiment's recipe."""
    campaigns: tuple[Name, ...] = ()
    """Campaigns that only this variant may see."""


class Experiment(Settings):
    """A comparison of recipes (which may use other models) or campaigns, on units assigned by hashing.

    Variants must not be changed while it runs, other than by ``ends_at``: people would cross over.
    """

    variants: dict[Name, Variant] = Field(min_length=2)
    """The sides, in the order in which their shares are laid out."""
    recipe: Name | None = None
    """The recipe whose requests the experiment is about, where variants name other ones."""
    layer: Name | None = None
    """Experiments of one layer share its units and have none in common; each has a layer of its own where not given."""
    traffic: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.0, 1.0)
    """Which stretch of the layer's units it takes: [0, 0.1] is the first tenth."""
    audience: str | None = None
    """A SQL condition on profile and context that units must meet."""
    starts_at: AwareDatetime | None = None
    """Not before."""
    ends_at: AwareDatetime | None = None
    """Until then, and not at that moment."""
    overrides: dict[str, Name] = {}
    """Units that see a variant for testing, by ``user_id``; they do not count."""
    control: Name | None = None
    """The variant that the others are compared with; the first where not given."""
    goal: Goal = Goal()
    """What the variants are compared by."""

    @model_validator(mode="after")
    def _fits_together(self) -> Experiment:
        if self.traffic[0] >= self.traffic[1]:
            raise ValueError(f"traffic must grow, as in [0, 0.5]; given {list(self.traffic)}")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("starts_at must be before ends_at")
        for what, named in (("overrides", self.overrides.values()), ("control", filter(None, [self.control]))):
            if unknown := sorted(set(named) - self.variants.keys()):
                raise ValueError(f"{what} name {unknown}, which are no variants; there are {list(self.variants)}")
        if self.recipe is None and any(variant.recipe for variant in self.variants.values()):
            raise ValueError("variants name recipes; say in `recipe` in place of which")
        if not any(variant.recipe or variant.campaigns for variant in self.variants.values()):
            raise ValueError("no variant has a recipe or campaigns, so there is nothing to compare")
        return self

    def runs(self, now: datetime) -> bool:
        """Return whether it runs at ``now``."""
        return (self.starts_at is None or self.starts_at <= now) and (self.ends_at is None or now < self.ends_at)


def variant_of(name: str, experiment: Experiment, unit: str) -> str | None:
    """Return the variant that ``unit`` has in the experiment ``name``, or None where its traffic leaves it out."""
    first, end = experiment.traffic
    if not first <= position("layer", experiment.layer or name, unit) < end:
        return None
    shares = {variant: side.share for variant, side in experiment.variants.items()}
    return divided(shares, position("experiment", name, unit))


def is_held_out(unit: str, share: float) -> bool:
    """Return whether ``unit`` is in the global holdout, a ``share`` of all units."""
    return position(GLOBAL_HOLDOUT, "", unit) < share


def check_layers(experiments: Mapping[str, Experiment]) -> None:
    """Make sure that experiments of one layer that run at the same time have no unit in common.

    Raises:
        InvalidInput: two have.
    """
    layers: dict[str, list[tuple[str, Experiment]]] = {}
    for name, experiment in experiments.items():
        layers.setdefault(experiment.layer or name, []).append((name, experiment))
    for layer, members in layers.items():
        for one, other in _overlapping(members):
            raise InvalidInput(
                f"The experiments {one!r} and {other!r} of layer {layer!r} overlap in traffic and time. "
                "Give them stretches such as [0, 0.5] and [0.5, 1], or end one first."
            )


def _overlapping(members: list[tuple[str, Experiment]]) -> Iterable[tuple[str, str]]:
    for place, (name, one) in enumerate(members):
        for other_name, other in members[place + 1 :]:
            shared = max(one.traffic[0], other.traffic[0]) < min(one.traffic[1], other.traffic[1])
            apart = any(
                end is not None and start is not None and end <= start
                for end, start in ((one.ends_at, other.starts_at), (other.ends_at, one.starts_at))
            )
            if shared and not apart:
                yield name, other_name
