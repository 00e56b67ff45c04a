"""The one place where the service is put together, and where clock, chance and environment come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from time import time_ns
from typing import Final

import numpy as np
from numpy.random import Generator

from features.catalog import Catalog
from features.database import data_version, open_database, transaction
from features.event_log import EventLog
from features.layout import Layout
from features.profile_store import SQLiteProfileStore
from features.segments import Segments, SegmentSettings
from models.bundle import Bundle
from serving.champion import Champion
from serving.decisions import Decisions, read_file
from serving.definition_book import DefinitionBook, recipe_book, segment_book
from serving.group_commit import GroupCommit
from serving.ranking_log import SQLiteRankingLog
from serving.recipes import BUILT_IN, Recipes
from serving.settings import ServingSettings

FOLD_S: Final = 0.5
"""How often policies learn from what has happened."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What the routes need.

    Attributes:
        settings: How the service runs.
        champion: Gives the bundle to answer from.
        now: The moment that a request to a bundle happens in, aware UTC.
        new_id: A name that nothing had before.
        stamp: A number that is another one whenever any worker has written to the database.
        writer: Writes to the database; ``events`` and ``catalog`` are used inside of its work alone.
        events: The log, with the profiles.
        catalog: The items.
        reader: The items, to be read at any time.
        profiles: Who is known, to be read at any time.
        decisions: Decides by campaigns and experiments.
        recipes: How rankings are made.
        rankings: What was shown.
        segments: Named conditions on visitors.
        rng: Chance.
    """

    settings: ServingSettings
    champion: Champion
    now: Callable[[Bundle], datetime]
    new_id: Callable[[], str]
    stamp: Callable[[], int]
    writer: GroupCommit
    events: EventLog
    catalog: Catalog
    reader: Catalog
    profiles: SQLiteProfileStore
    decisions: Decisions
    recipes: DefinitionBook[Recipes]
    rankings: SQLiteRankingLog
    segments: DefinitionBook[Segments]
    rng: Generator

    def moment(self) -> datetime:
        """Return the moment that something arrives in, whether there is a bundle or not."""
        ready = self.champion.ready
        return self.now(self.champion.served().pipeline.bundle) if ready else datetime.now(UTC)

    @classmethod
    @contextmanager
    def running(cls, environment: Mapping[str, str]) -> Iterator[Assembly]:
        """Give the service as ``environment`` asks for it, in the event loop that it runs in, until the block ends.

        Raises:
            AttuneError: a setting or a recipe is not allowed, or the database cannot be used.
        """
        settings = ServingSettings.of_environment(environment)
        now = _end_of_histories if settings.clock == "snapshot" else _system_clock
        built_in = Recipes.read(settings.recipes or BUILT_IN)
        of_file = SegmentSettings.read(settings.segments).segments if settings.segments else {}
        layout = Layout(settings.var)
        with (
            closing(open_database(layout.database, any_thread=True)) as database,
            closing(open_database(layout.database, any_thread=True)) as reading,
            closing(open_database(layout.database, any_thread=True)) as deciding,
        ):
            if settings.campaigns is not None:
                with transaction(database):
                    read_file(settings.campaigns, database, datetime.now(UTC))
            recipes, segments = recipe_book(built_in, reading, database), segment_book(of_file, reading, database)
            segments.current()  # a mistake in the file shows at the start
            rankings = SQLiteRankingLog(layout)
            champion = Champion(layout, recipes.current, now, settings.poll_s)
            writer = GroupCommit(database, layout.writer_lock)
            rng = np.random.default_rng()
            decisions = Decisions(deciding, database, writer, rng, new_id, settings.global_holdout)
            with writer.running(), rankings.writing(), champion.following(), decisions.folding(FOLD_S):
                events, catalog = EventLog(layout, database), Catalog(layout, database)
                reader, profiles = Catalog(layout, reading), SQLiteProfileStore(reading)
                yield cls(
                    settings,
                    champion,
                    now,
                    new_id,
                    partial(data_version, reading),
                    writer,
                    events,
                    catalog,
                    reader,
                    profiles,
                    decisions,
                    recipes,
                    rankings,
                    segments,
                    rng,
                )


def new_id() -> str:
    """Return a name that nothing had before; it rises with time, so that an index of such names grows at its end."""
    return f"{time_ns():016x}{token_hex(8)}"


def _system_clock(_: Bundle) -> datetime:
    return datetime.now(UTC)


def _end_of_histories(bundle: Bundle) -> datetime:
    return bundle.manifest.as_of
