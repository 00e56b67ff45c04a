from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import Corrupt, InvalidInput, NotFound
from features.layout import Layout
from features.snapshot import FORMAT, Snapshot, SnapshotSettings
from tests.worlds import event, item, snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return snapshot(tmp_path / "made", [event("ann", "apple")], [item("apple", brand=["red"])]).folder


def test_a_matrix_of_an_unknown_event_type_is_not_found(folder: Path) -> None:
    with pytest.raises(NotFound, match="'dance'"):
        Snapshot.load(folder).matrix("dance")


def test_an_unknown_dimension_is_not_found_and_the_known_ones_are_told(folder: Path) -> None:
    with pytest.raises(NotFound, match="'colour'; it has: brand"):
        Snapshot.load(folder).affinities("colour")


def test_a_damaged_matrix_is_corrupt(folder: Path) -> None:
    (folder / "matrices" / "combined" / "data.npy").write_bytes(b"nothing")
    with pytest.raises(Corrupt, match="Build the snapshot again"):
        Snapshot.load(folder).matrix("combined")


def read(folder: Path) -> None:
    """Read all that a snapshot holds."""
    found = Snapshot.load(folder)
    _ = found.users, found.items, found.interactions, found.catalog, found.item_features, found.user_features
    _ = found.matrix("combined"), found.matrix("purchase")
    _ = found.values("brand"), found.item_values("brand"), found.affinities("brand")


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_each_file_that_is_cut_off_is_told_by_its_name(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    read(folder)
    files = [path for path in folder.rglob("*.*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        path.write_bytes(damage(content))
        with pytest.raises(Corrupt, match=path.name):
            read(folder)
        path.write_bytes(content)


def test_a_folder_without_a_snapshot_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="python -m features build"):
        Snapshot.load(tmp_path)
    with pytest.raises(NotFound, match="python -m features build"):
        Snapshot.latest(Layout(tmp_path))


def test_a_damaged_manifest_is_corrupt(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(Corrupt, match="Build it again"):
        Snapshot.load(folder)


def test_a_snapshot_of_a_newer_format_is_refused(folder: Path) -> None:
    manifest = Snapshot.load(folder).manifest.model_copy(update={"format": FORMAT + 1})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(Corrupt, match=f"reads up to {FORMAT}"):
        Snapshot.load(folder)


def test_the_latest_snapshot_is_the_one_that_is_named_so(tmp_path: Path) -> None:
    first = snapshot(tmp_path, [event("one", "apple")], [])
    snapshot(tmp_path, [event("two", "apple")], [])
    layout = Layout(tmp_path)
    assert Snapshot.latest(layout).users.ids() == ["one", "two"]
    layout.latest_snapshot.write_text(f"{first.manifest.snapshot_hash}\n")
    assert Snapshot.latest(layout).users.ids() == ["one"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"half_live_days": 3}, "half_live_days"),
        ({"half_life_days": 0}, "half_life_days"),
        ({"event_weights": {"view": "much"}}, "event_weights.view"),
        ({"event_weights": {"view": 101}}, "event_weights.view"),
    ],
)
def test_settings_that_are_not_allowed_are_named(values: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        SnapshotSettings.of(values, "settings.toml")
