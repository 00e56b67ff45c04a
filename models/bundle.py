"""A trained model as it is served: what was learned, the ids it is about, and the histories it answers from."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Final, get_type_hints

import numpy as np
import polars as pl
from pydantic import Field, ValidationError

from features.errors import Corrupt, InvalidInput, NotFound
from features.interactions import History, Interactions
from features.saved import load_array, load_table
from features.settings import Settings
from features.snapshot import Snapshot
from features.vocabulary import Vocabulary
from models.scorer import Scorer

FORMAT = 1

SCORERS: Final = {
    "popularity": "models.popularity:Popularity",
    "own-frequency": "models.own_frequency:OwnFrequency",
    "similar-histories": "models.similar_histories:SimilarHistories",
    "item-to-item": "models.item_to_item:ItemToItem",
    "als": "models.als:ALS",
    "spectral": "models.spectral:Spectral",
    "affinity": "models.affinity:Affinity",
    "buy-again": "models.buy_again:BuyAgain",
    "successors": "models.successors:Successors",
    "walks": "models.walks:Walks",
    "linear": "models.linear_item_model:LinearItemModel",
    "titles": "models.titles:Titles",
    "values": "models.values:Values",
    "analogies": "models.analogies:Analogies",
    "content": "models.content_regression:ContentRegression",
    "embeddings": "models.embeddings:Embeddings",
    "demand": "models.demand:Demand",
    "history": "models.history_shape:HistoryShape",
    "sum": "models.weighted_sum:WeightedSum",
    "merged": "models.merged:Merged",
    "newcomers": "models.newcomers:Newcomers",
    "blend": "models.blend:Blend",
    "distilled": "models.distilled:Distilled",
}
"""Every way to score that a bundle may carry, by name. Only what it does carry is imported: all would take seconds."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]


def scorer_class(name: str) -> type[Scorer]:
    """Return the class of the scorer ``name``.

    Raises:
        NotFound: there is none.
    """
    if name not in SCORERS:
        raise NotFound(f"There is no scorer {name!r}. Scorers: {', '.join(SCORERS)}.")
    found: type[Scorer] = resolve_name(SCORERS[name])
    return found


def settings_class(scorer: type[Scorer]) -> type[Settings]:
    """Return the class that configures ``scorer``: the one its attribute ``config`` is annotated with."""
    found: type[Settings] = get_type_hints(scorer)["config"]
    return found


class SavedScorer(Settings):
    """How one scorer is restored."""

    config: dict[str, Any]
    arrays: tuple[Name, ...]
    """Names of the files in ``arrays/<scorer>/``."""


class Manifest(Settings):
    """What a bundle holds, and of what it was made; the file ``manifest.json``."""

    format: int
    bundle_id: str = ""
    """Hash of everything in the bundle but the moment of its creation and the number of the catalog's version; empty
    until it is saved."""
    model: str
    """The scorer that ranks unless a recipe names another."""
    scorers: dict[Name, SavedScorer]
    """A scorer composed of others comes after them."""
    event_types: tuple[str, ...]
    """Names of the codes in a history's ``event_type``."""
    dimensions: tuple[Name, ...]
    as_of: datetime
    """The histories end before this."""
    snapshot_hash: str
    catalog_version: str = ""
    """Of the catalog that the bundle holds, as ``Catalog.export`` returns it; empty where unknown."""
    code_version: str
    created_at: datetime
    checksums: dict[str, str] = {}
    """SHA-256 of each other file; empty until saved."""


class Bundle:
    """Everything that an answer needs, immutable: scorers, ids, catalog and histories.

    Attributes:
        manifest: What it is.
        users: The users whose history it holds.
        items: The items that item indices stand for.
        interactions: The histories, by user index.
        catalog: One row for each item, in order of its index; see ``Snapshot.catalog``.
        scorers: By name.
    """

    def __init__(
        self,
        manifest: Manifest,
        users: Vocabulary,
        items: Vocabulary,
        interactions: Interactions,
        catalog: pl.DataFrame,
        scorers: dict[str, Scorer],
    ) -> None:
        self.manifest = manifest
        self.users = users
        self.items = items
        self.interactions = interactions
        self.catalog = catalog
        self.scorers = scorers

    @classmethod
    def of(
        cls, snapshot: Snapshot, scorers: Iterable[Scorer], model: str, created_at: datetime, code_version: str
    ) -> Bundle:
        """Return the bundle of ``scorers``, all fitted on ``snapshot``; a composed one comes after its parts.

        Raises:
            NotFound: ``model`` is none of them.
        """
        by_name = {scorer.name: scorer for scorer in scorers}
        if model not in by_name:
            raise NotFound(f"The model {model!r} is not among the scorers of the bundle: {', '.join(by_name)}.")
        manifest = Manifest(
            format=FORMAT,
            model=model,
            scorers={
                name: SavedScorer(config=scorer.config.model_dump(mode="json"), arrays=tuple(sorted(scorer.arrays())))
                for name, scorer in by_name.items()
            },
            event_types=snapshot.manifest.event_types,
            dimensions=snapshot.manifest.dimensions,
            as_of=snapshot.manifest.as_of,
            snapshot_hash=snapshot.manifest.snapshot_hash,
            catalog_version=snapshot.manifest.versions.get("catalog", ""),
            code_version=code_version,
            created_at=created_at,
        )
        return cls(manifest, snapshot.users, snapshot.items, snapshot.interactions, snapshot.catalog, by_name)

    def history(self, user_id: str) -> History:
        """Return what ``user_id`` did; the empty history where the user is unknown."""
        user = self.users.find(user_id)
        return History.empty() if user is None else self.interactions.of(user)

    def save(self, folder: Path) -> str:
        """Write the bundle to the new folder ``folder``, whole or not at all, and return its ``bundle_id``.

        Raises:
            InvalidInput: ``folder`` exists already.
        """
        if folder.exists():
            raise InvalidInput(f"{folder} exists already, and a bundle is never overwritten. Give a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            self.users.save(unfinished / "users.npy")
            self.items.save(unfinished / "items.npy")
            self.interactions.save(unfinished / "interactions")
            self.catalog.write_parquet(unfinished / "catalog.parquet")
            for name, scorer in self.scorers.items():
                arrays = unfinished / "arrays" / name
                arrays.mkdir(parents=True)
                for part, array in scorer.arrays().items():
                    np.save(arrays / f"{part}.npy", array, allow_pickle=False)
            files = sorted(path for path in unfinished.rglob("*") if path.is_file())
            checksums = {path.relative_to(unfinished).as_posix(): _sha256(path) for path in files}
            manifest = self.manifest.model_copy(update={"checksums": checksums})
            manifest = manifest.model_copy(update={"bundle_id": _bundle_id(manifest)})
            (unfinished / "manifest.json").write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
            unfinished.chmod(0o755)  # mkdtemp lets nobody else in
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return manifest.bundle_id

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Return the bundle in ``folder``, memory-mapped, after comparing every file with its checksum.

        Raises:
            NotFound: there is no such folder.
            Corrupt: a file is missing or damaged, the format is newer than this version, or it needs an unknown scorer.
        """
        if not folder.is_dir():
            raise NotFound(f"There is no bundle {folder}. Fit a model and promote it with `python -m training`.")
        manifest = _manifest(folder / "manifest.json")
        for name, checksum in manifest.checksums.items():
            path = folder / name
            if not path.is_file():
                raise Corrupt(f"The bundle's file {path} is missing. Promote the bundle again.")
            if _sha256(path) != checksum:
                raise Corrupt(f"The bundle's file {path} is damaged. Promote the bundle again.")
        scorers: dict[str, Scorer] = {}
        for name, saved in manifest.scorers.items():
            scorers[name] = _scorer(folder, name, saved, scorers)
        return cls(
            manifest,
            Vocabulary.load(folder / "users.npy"),
            Vocabulary.load(folder / "items.npy"),
            Interactions.load(folder / "interactions"),
            load_table(folder / "catalog.parquet").rechunk(),
            scorers,
        )


def _scorer(folder: Path, name: str, saved: SavedScorer, parts: dict[str, Scorer]) -> Scorer:
    arrays = {part: load_array(folder / "arrays" / name / f"{part}.npy") for part in saved.arrays}
    try:
        scorer = scorer_class(name)
        config = settings_class(scorer).of(saved.config, f"the scorer {name}")
    except (NotFound, InvalidInput) as error:
        path = folder / "manifest.json"
        raise Corrupt(f"{path} is not of this version: {error} Fit and promote again, or update Attune.") from None
    try:
        return scorer.from_arrays(config, arrays, parts)
    except (KeyError, TypeError, ValueError) as error:
        where = folder / "arrays" / name
        raise Corrupt(f"{where} is not of this version: {error}. Fit and promote again, or update Attune.") from None


def _manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise Corrupt(f"The bundle's file {path} is missing. Promote the bundle again.") from None
    except ValidationError as error:
        raise Corrupt(
            f"{path} is damaged: {error.error_count()} fields do not fit. Promote the bundle again."
        ) from None
    if manifest.format > FORMAT:
        raise Corrupt(f"{path} has format {manifest.format}; this version reads up to {FORMAT}. Update Attune.")
    if manifest.bundle_id != _bundle_id(manifest):
        raise Corrupt(f"{path} was changed: it does not fit its bundle_id. Promote the bundle again.")
    return manifest


def _bundle_id(manifest: Manifest) -> str:
    content = manifest.model_dump_json(exclude={"bundle_id", "created_at", "catalog_version"})
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
