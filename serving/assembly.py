"""The one place where the service is put together, and where clock, chance and environment come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from features.layout import Layout
from models.bundle import Bundle
from serving.champion import Champion
from serving.recipes import BUILT_IN, Recipes
from serving.settings import ServingSettings


@dataclass(frozen=True, slots=True)
class Assembly:
    """What the routes need.

    Attributes:
        champion: Gives the pipeline to answer with.
        now: The moment that a request to a bundle happens in, aware UTC.
        new_id: A name that nothing had before.
    """

    champion: Champion
    now: Callable[[Bundle], datetime]
    new_id: Callable[[], str]

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Assembly:
        """Return the service as ``environment`` asks for it.

        Raises:
            AttuneError: a setting or a recipe is not allowed.
        """
        settings = ServingSettings.of_environment(environment)
        now = _end_of_histories if settings.clock == "snapshot" else _system_clock
        recipes = Recipes.read(settings.recipes or BUILT_IN)
        return cls(Champion(Layout(settings.var), recipes, now, settings.poll_s), now, lambda: uuid4().hex)


def _system_clock(_: Bundle) -> datetime:
    return datetime.now(UTC)


def _end_of_histories(bundle: Bundle) -> datetime:
    return bundle.manifest.as_of
