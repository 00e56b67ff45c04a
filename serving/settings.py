"""How the service runs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from features.settings import Settings

BUILT_IN: Final = Path(__file__).with_name("settings.toml")


class ServingSettings(Settings):
    """What the operator of the service decides."""

    var: Path
    """Folder of run-time data; see ``Layout``."""
    recipes: Path | None = None
    """File of recipes to use in place of ``recipes.toml``."""
    segments: Path | None = None
    """File of named conditions on visitors; see ``SegmentSettings``."""
    campaigns: Path | None = None
    """File of campaigns and experiments that hold beside those of the API; see ``campaigns.toml`` for an example."""
    global_holdout: float = Field(default=0.0, ge=0, lt=1)
    """Share of people who are in no experiment and see no campaign, so that one sees what all of them are worth."""
    clock: Literal["system", "snapshot"]
    """What requests take for now: the system's clock, or the end of the histories, for demonstrations and replays."""
    poll_s: PositiveFloat
    """How often to look for a newly promoted bundle."""
    workers: PositiveInt
    """How many processes answer; each sees at once what another has acknowledged."""
    cors_origins: str
    """Pages of other sites that may send events and ask for rankings: origins divided by blanks, or ``*`` for any."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> ServingSettings:
        """Return the built-in settings, each replaced by its ``ATTUNE_<KEY>`` in ``environment``.

        Raises:
            InvalidInput: a value is not allowed.
        """
        given = {name: environment.get(f"ATTUNE_{name.upper()}") for name in cls.model_fields}
        values = tomllib.loads(BUILT_IN.read_text(encoding="utf-8"))
        return cls.of(values | {name: value for name, value in given.items() if value}, "The settings of the service")
