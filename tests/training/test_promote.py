"""Judging a challenger, and handing its bundle over whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation.explored import EXPLORED, Hindsight, PlaceGoal, hindsight
from features.catalog import Catalog
from features.database import open_database, transaction
from features.errors import Corrupt, InvalidInput
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
from models.bundle import Bundle
from models.popularity import Popularity, PopularitySettings
from serving.answers.rankings import logged, recommended
from serving.cards import Cards
from serving.definition_book import recipe_book
from serving.live_catalog import LiveCatalog
from serving.pipeline import Pipeline
from serving.ranking_log import SQLiteRankingLog
from serving.recipes import Recipes
from serving.replay import recipes_in_force
from serving.visitors import Visitors
from serving.wire.rankings import RecommendRequest
from tests import worlds
from tests.training.conftest import Command
from tests.worlds import NOW, event, item
from training.promote import compared, on_places, publish, served


def ranked(**ndcg: list[float]) -> pl.DataFrame:
    """Return what tests keep of a model whose NDCG is given for each user of a target."""
    return pl.concat(
        pl.DataFrame({"target": target, "user_id": [f"u{i}" for i in range(len(values))], "ndcg": values})
        for target, values in ndcg.items()
    )


GOOD, BAD = [0.5, 0.6, 0.7, 0.8] * 5, [0.3, 0.5, 0.4, 0.6] * 5
MIXED = [0.4, 0.7, 0.6, 0.9] * 5  # as good as GOOD on average, user by user different


@pytest.mark.parametrize(
    ("challenger", "rival", "demand", "promoted"),
    [
        ({"all": GOOD, "new": GOOD}, {"all": BAD, "new": GOOD}, "better", True),
        ({"all": BAD, "new": GOOD}, {"all": GOOD, "new": BAD}, "not worse", False),
        ({"all": MIXED, "new": MIXED}, {"all": GOOD, "new": GOOD}, "not worse", True),
        ({"all": MIXED, "new": MIXED}, {"all": GOOD, "new": GOOD}, "better", False),
        ({"all": GOOD}, {"all": BAD}, "better", True),
    ],
)
def test_better_is_better_somewhere_and_worse_nowhere(
    challenger: dict[str, list[float]], rival: dict[str, list[float]], demand: str, promoted: bool
) -> None:
    assert compared(ranked(**challenger), ranked(**rival), "version 1", demand, seed=0).promote is promoted


def test_the_sentences_hold_both_means_and_the_difference() -> None:
    verdict = compared(ranked(all=GOOD), ranked(all=BAD), "version 1", "not worse", seed=0)
    assert len(verdict.sentences) == 1
    assert "0.6500 against 0.4500 of version 1" in verdict.sentences[0]
    assert "+0.2000" in verdict.sentences[0]
    assert verdict.sentences[0].endswith("makes it better.")


def test_users_are_paired_whatever_their_order() -> None:
    shuffled = ranked(all=BAD).sample(fraction=1, shuffle=True, seed=1)
    verdict = compared(ranked(all=BAD), shuffled, "version 1", "better", seed=0)
    assert "+0.0000 (+0.0000 to +0.0000" in verdict.sentences[0]


def test_models_tested_on_different_users_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="different users"):
        compared(ranked(all=GOOD), ranked(all=GOOD[1:]), "version 1", "not worse", seed=0)


def told(layout: Layout, liked: str, places: int) -> Hindsight:
    """Return what the log says where half of the lists had ``b`` by chance; ``liked`` has five times the clicks."""
    drawn = [number % 2 == 1 for number in range(places)]
    rows = [
        {"ranking_id": f"r{number}", "user_id": f"u{number}", "made_at_us": 0, "item_id": "b" if chance else "a"}
        | {"drawn": chance, "probability": 0.5, "target": "b", "elsewhere": False}
        for number, chance in enumerate(drawn)
    ]
    moment = datetime(1970, 1, 2, tzinfo=UTC)
    with closing(EventLog(layout)) as log:
        log.append(
            Event(row["ranking_id"], "click", row["user_id"], moment, row["item_id"], ranking_id=row["ranking_id"])
            for row in rows
            if row["item_id"] == liked or int(row["ranking_id"][1:]) % 10 < 2
        )
    return hindsight(layout, pl.DataFrame(rows, EXPLORED), PlaceGoal())


def test_what_would_have_earned_less_where_chance_had_a_say_is_not_promoted(tmp_path: Path) -> None:
    worse = on_places("front", told(Layout(_made(tmp_path / "worse")), "a", 400))
    assert not worse.promote
    assert "At 400 explored places of front" in worse.sentences[0]
    assert worse.sentences[0].endswith("makes it worse.")
    better = on_places("front", told(Layout(_made(tmp_path / "better")), "b", 400))
    assert better.promote
    assert better.sentences[0].endswith("makes it better.")


def test_a_log_that_cannot_tell_says_why_and_stands_in_nobody_s_way(tmp_path: Path) -> None:
    verdict = on_places("front", told(Layout(_made(tmp_path / "few")), "a", 40))
    assert verdict.promote
    assert verdict.sentences[0].startswith("The log cannot judge by front: The 40 rows are worth 20.0 decisions")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def serve(layout: Layout, rankings: int, liked: str) -> None:
    """Log lists of one item, the ``same`` for all or their ``own``; that which is ``liked`` has most clicks."""
    bundle = Bundle.load(layout.bundles / str(served(layout)))
    recipe = {"ranker": "model", "explore": {"place": 1, "probability": 0.5}}
    events = []
    with closing(open_database(layout.database)) as database, transaction(database):
        recipe_book(Recipes(recipes={}), database, database).put("front", "1", recipe, NOW)
    recipes = recipes_in_force(layout, Recipes(recipes={}))
    with closing(Catalog(layout)) as catalog, closing(SQLiteRankingLog(layout)) as log:
        live = LiveCatalog(bundle, catalog)
        pipeline, visitors = Pipeline(bundle, recipes, live), Visitors(bundle)
        ids = [live.id(index) for index in range(len(live))]
        for number in range(rankings):
            user, moment = f"u{1 + number % 23:02}", NOW + timedelta(minutes=1 + number)
            others = sorted({*ids} - {"own00a", f"own{user[1:]}a"})
            request = RecommendRequest(user_id=user, n=1, recipe="front", exclude=others)
            ranking_id = f"{number:015x}".ljust(32, "0")
            made = recommended(pipeline, visitors.visitor(user, moment), request, moment, ranking_id)
            cards = Cards(live).of(made.ranking.items.tolist())
            log.append(logged(pipeline, cards, made, "recommend", request), recipes["front"])
            shown = live.id(int(made.ranking.items[0]))
            clicked = number % 3 > 0 if (shown == "own00a") is (liked == "same") else number % 5 == 0
            types = ["impression"] + ["click"] * clicked
            events += [
                Event(f"{number} {one}", one, user, moment + timedelta(seconds=9), shown, ranking_id=ranking_id)
                for one in types
            ]
    with closing(EventLog(layout)) as log_of_events:
        log_of_events.append(events)


def test_promotion_asks_the_log_what_the_challenger_would_have_earned(layout: Layout, command: Command) -> None:
    command("fit", "popularity", "--workers", 1, "--var", layout.root)
    command("promote", "--force", "--workers", 1, "--var", layout.root)
    command("fit", "own-frequency", "--workers", 1, "--var", layout.root)
    champion = served(layout)
    for name, rankings, liked, status, words in (
        ("worse", 600, "same", 1, "which makes it worse"),
        ("better", 600, "own", 0, "which makes it better"),
        ("without overlap", 40, "same", 0, "The log cannot judge by front"),
    ):
        var = layout.root.parent / name
        shutil.copytree(layout.root, var)
        serve(Layout(var), rankings, liked)
        outcome = command("promote", "--workers", 1, "--var", var)
        assert outcome.status == status, outcome.text
        assert words in " ".join(outcome.text.split())
        assert (served(Layout(var)) == champion) is (status == 1)


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    """Two bundles of different content."""
    snapshot = worlds.snapshot(tmp_path / "snapshot", [event("a", "milk"), event("b", "tea")], [item("milk")])
    folders = []
    for half_life_days in (1, 2):
        config = PopularitySettings(half_life_days=half_life_days)
        scorer = Popularity.fit(snapshot, config, np.random.default_rng(0))
        folders.append(tmp_path / f"bundle{half_life_days}")
        Bundle.of(snapshot, [scorer], scorer.name, datetime(2026, 2, 1, tzinfo=UTC), "test").save(folders[-1])
    return folders


# Another process, as the service is. Two threads must not call np.load at once: Python 3.11's parser may trip over it.
READER = """
import sys
from pathlib import Path

from features.layout import Layout
from models.bundle import Bundle
from training.promote import served

layout, seen = Layout(Path(sys.argv[1])), set()
print("reading", flush=True)
while not (layout.root / "done").exists():
    seen.add(Bundle.load(layout.bundles / served(layout)).manifest.bundle_id)
print(*seen)
"""


def test_the_pointer_names_a_whole_bundle_at_every_moment(bundles: list[Path], tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    first = publish(bundles[0], layout)
    command = [sys.executable, "-c", READER, str(layout.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
            ids = {first, *(publish(bundles[turn % 2], layout) for turn in range(30))}
        finally:
            (layout.root / "done").touch()
        seen = set(reader.stdout.read().split())
    assert reader.returncode == 0
    assert len(ids) == 2
    assert seen
    assert seen <= ids


def test_a_damaged_bundle_is_not_handed_over_and_leaves_nothing_behind(bundles: list[Path], tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    first = publish(bundles[0], layout)
    (bundles[1] / "arrays" / "popularity" / "strength.npy").write_bytes(b"cut off")
    with pytest.raises(Corrupt):
        publish(bundles[1], layout)
    assert served(layout) == first
    assert [path.name for path in layout.bundles.iterdir()] == [first]
    assert not list(layout.root.glob(".champion*"))


def test_promoting_again_mends_a_damaged_copy(bundles: list[Path], tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    bundle_id = publish(bundles[0], layout)
    (layout.bundles / bundle_id / "catalog.parquet").unlink()
    assert publish(bundles[0], layout) == bundle_id
    assert Bundle.load(layout.bundles / bundle_id).manifest.bundle_id == bundle_id


def test_before_the_first_promotion_nothing_is_served(tmp_path: Path) -> None:
    assert served(Layout(tmp_path)) is None
