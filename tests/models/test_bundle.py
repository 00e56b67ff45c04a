from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import models.bundle
from features.errors import Corrupt, InvalidInput, NotFound
from features.settings import Settings
from features.snapshot import Snapshot
from models.bundle import SCORERS, Bundle, scorer_class, settings_class
from models.item_to_item import ItemToItem, ItemToItemSettings
from models.popularity import Popularity, PopularitySettings
from models.scorer import Arrays
from tests.worlds import NOW, event, item, snapshot

CREATED = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path) -> Snapshot:
    events = [event("ann", "tea"), event("ann", "milk"), event("bob", "tea"), event("bob", "milk", 2.0)]
    return snapshot(tmp_path / "snapshot", events, [item("tea", kind=["drink"]), item("milk"), item("salt")])


@pytest.fixture
def bundle(shop: Snapshot) -> Bundle:
    rng = np.random.default_rng(0)
    scorers = [Popularity.fit(shop, PopularitySettings(), rng), ItemToItem.fit(shop, ItemToItemSettings(), rng)]
    return Bundle.of(shop, scorers, "item-to-item", CREATED, "test")


def test_a_saved_bundle_answers_like_the_one_in_memory(bundle: Bundle, tmp_path: Path) -> None:
    bundle_id = bundle.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    assert loaded.manifest.bundle_id == bundle_id
    assert loaded.manifest.model == "item-to-item"
    assert loaded.items.ids() == ["milk", "salt", "tea"]
    assert loaded.catalog.equals(bundle.catalog)
    every = np.arange(3, dtype=np.int32)
    for user_id in ("ann", "bob", "nobody"):
        assert loaded.history(user_id).item.tolist() == bundle.history(user_id).item.tolist()
        for name, scorer in bundle.scorers.items():
            history = bundle.history(user_id)
            assert (loaded.scorers[name].scores(history, every, NOW) == scorer.scores(history, every, NOW)).all()
            assert loaded.scorers[name].config == scorer.config


def test_an_unknown_user_has_an_empty_history(bundle: Bundle) -> None:
    assert len(bundle.history("nobody")) == 0
    assert len(bundle.history("ann")) == 2


def test_the_id_depends_on_the_content_and_not_on_the_moment(bundle: Bundle, shop: Snapshot, tmp_path: Path) -> None:
    later = Bundle.of(shop, bundle.scorers.values(), "item-to-item", NOW, "test")
    other = Bundle.of(shop, bundle.scorers.values(), "popularity", CREATED, "test")
    first = bundle.save(tmp_path / "first")
    assert later.save(tmp_path / "later") == first
    assert other.save(tmp_path / "other") != first


def test_a_model_that_is_not_in_the_bundle_is_refused(bundle: Bundle, shop: Snapshot) -> None:
    with pytest.raises(NotFound, match=r"'als'.*popularity, item-to-item"):
        Bundle.of(shop, bundle.scorers.values(), "als", CREATED, "test")


def test_a_bundle_is_never_overwritten(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    with pytest.raises(InvalidInput, match="never overwritten"):
        bundle.save(tmp_path / "bundle")


def test_a_bundle_that_cannot_be_written_leaves_nothing_behind(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        bundle.save(tmp_path / "there" / "bundle")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_missing_bundle_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no bundle .*nothing.*promote"):
        Bundle.load(tmp_path / "nothing")


FILES = [
    "users.npy",
    "items.npy",
    "catalog.parquet",
    "interactions/item.npy",
    "arrays/popularity/strength.npy",
    "arrays/item-to-item/indices.npy",
]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Bundle, tmp_path: Path, name: str) -> None:
    bundle.save(tmp_path / "bundle")
    (tmp_path / "bundle" / name).unlink()
    with pytest.raises(Corrupt, match=name):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize("name", FILES)
def test_a_single_flipped_bit_is_found_and_its_file_named(bundle: Bundle, tmp_path: Path, name: str) -> None:
    bundle.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=f"{name} is damaged"):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"format 2; this version reads up to 1"),
        ({"model": "popularity"}, r"does not fit its bundle_id"),
        ({"scorers": {"../../etc": {"config": {}, "arrays": []}}}, r"manifest.json is damaged"),
        ({"surprise": 1}, r"manifest.json is damaged"),
    ],
)
def test_a_changed_manifest_is_refused(bundle: Bundle, tmp_path: Path, change: dict[str, object], message: str) -> None:
    bundle.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Corrupt, match=message):
        Bundle.load(tmp_path / "bundle")


def test_a_manifest_that_is_cut_short_or_missing_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(Corrupt, match=r"manifest\.json is damaged"):
        Bundle.load(tmp_path / "bundle")
    path.unlink()
    with pytest.raises(Corrupt, match=r"manifest\.json is missing"):
        Bundle.load(tmp_path / "bundle")


def test_a_bundle_of_another_version_s_scorers_is_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle.save(tmp_path / "bundle")
    monkeypatch.setattr(models.bundle, "SCORERS", {"popularity": SCORERS["popularity"]})
    with pytest.raises(Corrupt, match=r"manifest\.json is not of this version: There is no scorer 'item-to-item'"):
        Bundle.load(tmp_path / "bundle")


def test_a_bundle_without_an_array_that_its_scorer_needs_is_refused(shop: Snapshot, tmp_path: Path) -> None:
    class Older(Popularity):
        def arrays(self) -> Arrays:
            return {"strength": self.strength}

    popularity = Older.fit(shop, PopularitySettings(), np.random.default_rng(0))
    Bundle.of(shop, [popularity], "popularity", CREATED, "test").save(tmp_path / "bundle")
    with pytest.raises(Corrupt, match=r"arrays/popularity is not of this version.*missing.*'order'"):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_is_listed_under_its_own_name_and_says_which_class_configures_it(name: str) -> None:
    scorer = scorer_class(name)
    assert scorer.name == name
    assert issubclass(settings_class(scorer), Settings)


def test_what_only_fits_and_explains_is_not_loaded_to_answer() -> None:
    script = "import sys; from models.bundle import *; [scorer_class(name) for name in SCORERS]; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert {"implicit", "lightgbm", "pandas", "scipy.stats", "sklearn"} & set(done.stdout.split()) == set()
