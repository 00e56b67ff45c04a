"""Whether the challenger is good enough to serve, and the hand-over where it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import numpy as np
import polars as pl

from evaluation.intervals import Interval, mean_interval
from features.errors import AttuneError, Corrupt, InvalidInput
from features.layout import Layout
from models.bundle import Bundle
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import Recipes
from training.backtest import PLACES, RECIPES

METRIC: Final = "ndcg"
QUERIES: Final = 200
"""How many rankings a bundle is asked for before it is handed over."""

Demand = Literal["better", "not worse"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, and why.

    Attributes:
        promote: Whether every demand is met.
        sentences: What was found, for a person to read.
    """

    promote: bool
    sentences: tuple[str, ...]

    def __and__(self, other: Verdict) -> Verdict:
        return Verdict(self.promote and other.promote, self.sentences + other.sentences)


def compared(challenger: pl.DataFrame, rival: pl.DataFrame, rival_name: str, demand: Demand, seed: int) -> Verdict:
    """Return whether the challenger ranks as well as ``demand`` says, beside a rival tested on the same users.

    For each target the users' differences in NDCG are taken, and the interval of their mean: better is what lies above
    0 with all of it, worse what lies below 0 with all of it. To be better, one must be so in one target at least and
    worse in none.

    Args:
        challenger: As ``rank_held_out`` returns it.
        rival: The same of the rival.
        rival_name: How the sentences call the rival.
        demand: What the challenger must be.
        seed: Draws the resamples of the intervals.

    Raises:
        InvalidInput: they were tested on different users.
    """
    verdicts: list[str] = []
    sentences: list[str] = []
    for target in RECIPES:
        ours, theirs = (ranked.filter(pl.col("target") == target) for ranked in (challenger, rival))
        if ours["user_id"].to_list() != theirs["user_id"].to_list():
            raise InvalidInput(f"The challenger and {rival_name} were tested on different users; evaluate both again.")
        if len(ours) < 2:
            continue
        difference = mean_interval((ours[METRIC] - theirs[METRIC]).to_numpy(), np.random.default_rng(seed))
        verdicts.append(_word(difference))
        sentences.append(
            f"{target} purchases: NDCG@{PLACES} {np.mean(ours[METRIC]):.4f} against {np.mean(theirs[METRIC]):.4f} of "
            f"{rival_name}; the difference of {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}, "
            f"95 %) makes it {verdicts[-1]}."
        )
    met = "worse" not in verdicts and (demand == "not worse" or "better" in verdicts)
    return Verdict(met, tuple(sentences))


def answers(bundle: Bundle, recipes: Recipes, seed: int) -> Verdict:
    """Return whether ``bundle`` answers real users and a stranger, and how quickly."""
    pipeline = Pipeline(bundle, recipes)
    users = np.random.default_rng(seed).integers(0, len(bundle.users), QUERIES)
    histories = [bundle.history(""), *(bundle.interactions.of(int(user)) for user in users)]
    took_ms = []
    for history in histories:
        for recipe in RECIPES.values():
            start = perf_counter()
            try:
                ranking = pipeline.rank(Query(history, bundle.manifest.as_of, n=PLACES, recipe=recipe))
            except AttuneError as error:
                return Verdict(False, (f"The bundle does not answer: {error}",))
            took_ms.append(1000 * (perf_counter() - start))
            if not len(ranking.items):
                return Verdict(False, (f"The bundle has no items to show: {ranking.shortfall_reason}",))
    middle, slow = np.percentile(took_ms, [50, 99])
    return Verdict(
        True, (f"It answers: {len(took_ms)} rankings, half within {middle:.1f} ms, 99 % within {slow:.1f} ms.",)
    )


def publish(bundle: Path, layout: Layout) -> str:
    """Make the bundle in the folder ``bundle`` the one that is served, and return its ``bundle_id``.

    It is copied under a temporary name, checked, and renamed; then the file that names the champion is replaced. Who
    reads that file at any moment finds the name of a whole bundle.

    Raises:
        Corrupt: the bundle is damaged.
    """
    layout.bundles.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=layout.bundles, ignore_cleanup_errors=True) as unfinished:
        copy = Path(unfinished) / "whole"
        shutil.copytree(bundle, copy)
        bundle_id = Bundle.load(copy).manifest.bundle_id
        target = layout.bundles / bundle_id
        if target.exists() and not _is_whole(target):
            target.rename(Path(unfinished) / "damaged")
        if not target.exists():
            copy.rename(target)
    _replace(layout.champion, f"{bundle_id}\n")
    return bundle_id


def served(layout: Layout) -> str | None:
    """Return the ``bundle_id`` of the champion that is served, or None where there is none."""
    try:
        return layout.champion.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _is_whole(bundle: Path) -> bool:
    try:
        Bundle.load(bundle)
    except Corrupt:
        return False
    return True


def _word(difference: Interval) -> str:
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "neither better nor worse"


def _replace(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader finds the old text or the new one, also after a power failure."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)
