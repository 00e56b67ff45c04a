"""Whether the challenger is good enough to serve, and the hand-over where it is."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, Literal

import numpy as np
import polars as pl

from evaluation.explored import Hindsight, PlaceGoal, hindsight
from evaluation.intervals import Interval, bootstrap_interval
from features.errors import AttuneError, Corrupt, InvalidInput, NotFound
from features.layout import Layout, point, pointed
from models.bundle import Bundle
from serving.hindsight import explored_places
from serving.pipeline import Pipeline
from serving.query import Query
from serving.recipes import BUILT_IN, Recipes
from serving.replay import recipes_in_force
from training.backtest import PLACES, RECIPES
from training.tracking import CHAMPION, Version
from training.workbench import Configuration, Workbench

BASELINE: Final = "popularity"
"""What the first champion has to beat."""
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


def promote(
    challenger: Version, champion: Version | None, bench: Workbench, layout: Layout, *, force: bool, if_better: bool
) -> Verdict:
    """Make ``challenger`` the champion and serve its bundle, where it is good enough; return why it was or was not.

    Args:
        challenger: The version to promote.
        champion: The version that is the champion now, or None.
        bench: That of the challenger's snapshot.
        layout: Where the service finds what it serves.
        force: Whether to promote whatever the test says; a bundle that does not load or answer never is.
        if_better: Whether as good is not enough.

    Raises:
        Corrupt: the challenger's bundle is damaged.
    """
    if champion is not None and champion.number == challenger.number:
        if served(layout) == challenger.run.tags["bundle_id"]:
            return Verdict(True, (f"Version {challenger.number} is the champion, and is served already.",))
        accuracy = Verdict(True, (f"Version {challenger.number} is the champion, but is not what is served.",))
    elif force:
        accuracy = Verdict(True, ("Forced: nobody asked whether it is better or worse.",))
    else:
        accuracy = verdict(challenger, champion, bench, "better" if if_better else "not worse")
    if accuracy.promote and not force:
        accuracy &= on_record(challenger, layout)
    if accuracy.promote:
        accuracy &= answers(Bundle.load(challenger.bundle), Recipes.read(BUILT_IN), bench.seed)
    if not accuracy.promote:
        return accuracy & Verdict(
            False, (f"Version {challenger.number} is not promoted (--force promotes what loads and answers).",)
        )
    bundle_id = publish(challenger.bundle, layout)
    bench.tracking.name(challenger.number, CHAMPION)
    return accuracy & Verdict(True, (f"Version {challenger.number} is promoted; the bundle {bundle_id} is served.",))


def verdict(challenger: Version, champion: Version | None, bench: Workbench, demand: Demand) -> Verdict:
    """Return whether ``challenger`` should take over, for its accuracy.

    Bundles cannot be compared on a period that they were fitted on. So both *configurations* are fitted on the same
    past and tested on the same future: the held-out period of the challenger's snapshot. A champion of the same
    configuration is not compared with itself: newer data is reason enough.

    Args:
        challenger: The version to judge.
        champion: The version that is served; None where there is none, and popularity takes its part.
        bench: That of the challenger's snapshot.
        demand: What the challenger must be; without a champion it must be better.
    """
    configuration = Configuration.logged(challenger.run)
    if champion is None:
        rival = Configuration.of(BASELINE)
        sentence = f"There is no champion yet, so version {challenger.number} must beat {BASELINE}."
        return Verdict(True, (sentence,)) & compared(
            bench.test(configuration), bench.test(rival), BASELINE, "better", bench.seed
        )
    name = f"version {champion.number}"
    rival = Configuration.logged(champion.run)
    if rival == configuration:
        ours, theirs = (Bundle.load(version.bundle).manifest.as_of for version in (challenger, champion))
        newer = f"it knows what happened until {ours:%Y-%m-%d %H:%M}, {name} until {theirs:%Y-%m-%d %H:%M}"
        return Verdict(ours >= theirs, (f"The configuration is that of {name}, and {newer}.",))
    sentence = f"{name.capitalize()} is the champion ({rival}); both configurations are tested on the same days."
    return Verdict(True, (sentence,)) & compared(bench.test(configuration), bench.test(rival), name, demand, bench.seed)


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
        of_both = [ranked.filter(target=target).sort("user_id") for ranked in (challenger, rival)]
        if not of_both[0]["user_id"].equals(of_both[1]["user_id"]):
            raise InvalidInput(f"The challenger and {rival_name} were tested on different users; evaluate both again.")
        ours, theirs = (rows[METRIC].to_numpy() for rows in of_both)
        if len(ours) < 2:
            continue
        difference = bootstrap_interval(ours - theirs, np.random.default_rng(seed))
        verdicts.append(_word(difference))
        sentences.append(
            f"{target.capitalize()} purchases: NDCG@{PLACES} {ours.mean():.4f} against {theirs.mean():.4f} of "
            f"{rival_name}; the difference of {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}, "
            f"95 %) makes it {verdicts[-1]}."
        )
    met = "worse" not in verdicts and (demand == "not worse" or "better" in verdicts)
    return Verdict(met, tuple(sentences))


def on_record(challenger: Version, layout: Layout) -> Verdict:
    """Return whether what was served since speaks against ``challenger``: a gate where the log of rankings allows.

    Recipes that explore a place tell what the challenger's items would have earned there. Only rankings after its data
    count, or it would be judged by what it was fitted on. Where the log cannot tell, it does not stand in the way.
    """
    bundle = Bundle.load(challenger.bundle)
    recipes = recipes_in_force(layout, Recipes.read(BUILT_IN))
    exploring = sorted(name for name, recipe in recipes.recipes.items() if recipe.explore is not None)
    found = Verdict(True, () if exploring else ("No recipe explores a place, so the log of rankings cannot judge.",))
    for name in exploring:
        try:
            explored = explored_places(layout, name, recipes[name], bundle, bundle.manifest.as_of)
            if explored.is_empty():
                raise NotFound(f"it has explored no place since {bundle.manifest.as_of:%Y-%m-%d %H:%M}.")
            found &= on_places(name, hindsight(layout, explored, PlaceGoal()))
        except (NotFound, InvalidInput) as error:
            found &= Verdict(True, (f"The log cannot judge by {name}: {error}",))
    return found


def on_places(recipe: str, told: Hindsight) -> Verdict:
    """Return whether ``told``, of the explored places of ``recipe``, speaks against the challenger."""
    if told.difference is None:
        why = told.refusals or ("The served recipe's own item never stood at the place.",)
        return Verdict(True, (f"The log cannot judge by {recipe}: {' '.join(why)}",))
    word = _word(told.difference)
    low, high = told.difference.low, told.difference.high
    rows = told.analysis.answers[0].overlap.rows
    return Verdict(
        word != "worse",
        (
            f"At {rows:,} explored places of {recipe} its items would have had {told.difference.mean:+.4f} "
            f"({low:+.4f} to {high:+.4f}, 95 %) clicks each beside the champion's, which makes it {word}.",
        ),
    )


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
    point(layout.champion, bundle_id)
    return bundle_id


def served(layout: Layout) -> str | None:
    """Return the ``bundle_id`` of the champion that is served, or None where there is none."""
    try:
        return pointed(layout.champion) or None
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
