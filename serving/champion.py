"""The bundle that is served now, and how a newly promoted one takes its place."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar
from weakref import finalize

from features.catalog import Catalog
from features.database import open_database
from features.errors import AttuneError, Corrupt, NotFound, Unavailable
from features.layout import Layout, pointed
from features.profile_store import SQLiteProfileStore
from models.bundle import Bundle, Manifest, scorer_class
from serving.cards import Cards
from serving.live_catalog import LiveCatalog
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import Recipes
from serving.repeating import repeating
from serving.visitors import Visitors

log = logging.getLogger("attune")

MAPPED_BYTES: Final = 2**40
"""So much of a database is read where the system keeps it, or as much as SQLite allows: a call for each page costs more
than reading it."""

Reader = TypeVar("Reader", Catalog, SQLiteProfileStore)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A bundle with what the database adds to it, read over connections of its own.

    Attributes:
        pipeline: Ranks; its ``catalog`` is that of this moment after ``refresh()``.
        visitors: Who asks, in the bundle's codes.
        cards: What a list shows of each item.
    """

    pipeline: Pipeline
    visitors: Visitors
    cards: Cards


def import_scorers(layout: Layout) -> None:
    """Import the scorers of the promoted bundle, for workers to share; of a broken one the workers will say so."""
    with suppress(OSError, ValueError, NotFound):
        folder = layout.bundles / pointed(layout.champion)
        for name in Manifest.model_validate_json((folder / "manifest.json").read_bytes()).scorers:
            scorer_class(name)


class Champion:
    """Follows ``layout.champion``, the file that names the promoted bundle.

    The pipeline is replaced as one reference: who took it goes on with it to the end of a request. A bundle that cannot
    be loaded or cannot answer is refused with a line in the log, and the one before stays.
    """

    def __init__(
        self, layout: Layout, recipes: Callable[[], Recipes], now: Callable[[Bundle], datetime], poll_s: float
    ) -> None:
        """Take each bundle into service with the ``recipes`` of its moment, asked at ``now`` for a try."""
        self._layout = layout
        self._recipes = recipes
        self._now = now
        self._poll_s = poll_s
        self._seen: tuple[int, int] | None = None
        self._served: Served | None = None
        self._problem: AttuneError = Unavailable(
            f"No bundle has been promoted: there is no file {layout.champion}. "
            "Fit a model and promote it with `python -m training`."
        )

    @property
    def ready(self) -> bool:
        """Whether there is a bundle to answer from."""
        return self._served is not None

    def served(self) -> Served:
        """Return the bundle now served; keep it for a whole request.

        Raises:
            Unavailable: none has been promoted yet.
            Corrupt: the only one that was cannot be used.
        """
        if self._served is None:
            raise self._problem
        return self._served

    def refresh(self) -> None:
        """Take over the promoted bundle if it is another than that served."""
        try:
            stat = self._layout.champion.stat()
        except FileNotFoundError:
            return
        if (stat.st_mtime_ns, stat.st_ino) == self._seen:
            return
        self._seen = (stat.st_mtime_ns, stat.st_ino)
        try:
            bundle_id = pointed(self._layout.champion)
            if self._served is None or self._served.pipeline.bundle.manifest.bundle_id != bundle_id:
                self._served = self._loaded(bundle_id)
                log.info("Serving the bundle %s.", bundle_id)
        except AttuneError as error:
            self._refuse(error)
        except Exception as error:  # whatever a bundle breaks with, the one before must go on
            log.exception("The promoted bundle does not work.")
            self._refuse(Corrupt(f"The promoted bundle does not work: {error!r}. Promote another one."))

    @contextmanager
    def following(self) -> Iterator[None]:
        """Refresh at once, and then every ``poll_s`` seconds in a thread until the context is left."""
        self.refresh()
        if self._seen is None:
            log.warning("Not ready: %s", self._problem)
        with repeating(self.refresh, self._poll_s, "champion"):
            yield

    def _loaded(self, bundle_id: str) -> Served:
        if not re.fullmatch(r"[\w-]+", bundle_id):
            raise Corrupt(f"{self._layout.champion} holds {bundle_id[:80]!r}, not the id of a bundle. Promote again.")
        bundle = Bundle.load(self._layout.bundles / bundle_id)
        catalog = self._reading(lambda database: Catalog(self._layout, database))
        pipeline = Pipeline(bundle, self._recipes(), LiveCatalog(bundle, catalog))
        visitors = Visitors(bundle, self._reading(SQLiteProfileStore))
        history = bundle.interactions.of(0) if bundle.interactions.n_users else bundle.history("")
        for recipe in pipeline.available():  # what is compiled or read on first use is so before the first request
            query = Query(history, self._now(bundle), recipe=recipe)
            pipeline.reasons(query, pipeline.rank(query))
        return Served(pipeline, visitors, Cards(pipeline.catalog))

    def _reading(self, reader: Callable[[sqlite3.Connection], Reader]) -> Reader:
        """Return a reader of the database whose connection ends with it: by itself a connection would stay open."""
        database = open_database(self._layout.database, any_thread=True)
        database.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        made = reader(database)
        finalize(made, database.close)
        return made

    def _refuse(self, error: AttuneError) -> None:
        self._problem = error
        log.error("Refused the promoted bundle, %s: %s", "kept the one before" if self.ready else "none to keep", error)
