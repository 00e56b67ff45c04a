"""The feature job: numbers that one can check by hand, and hashes that depend on what the log says alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import snapshot_job
from features.catalog import FIELDS as CATALOG_FIELDS
from features.catalog import Catalog
from features.engine import EngineSettings
from features.errors import InvalidInput
from features.event_log import SCHEMA, EventLog
from features.events import STANDARD_EVENT_TYPES, Event
from features.layout import Layout
from features.snapshot import Snapshot, SnapshotSettings
from features.snapshot_job import before, build, snapshot_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HALF_LIFE = SnapshotSettings(half_life_days=10.0)
NO_CATALOG = pl.DataFrame(schema={"item_id": pl.String()})
BRANDS = pl.DataFrame({"item_id": ["apple", "pear"], "brand": [["red", "ripe"], ["ripe"]]})


def event(user_id: str, item_id: str | None, days_ago: float, event_type: str = "purchase", **rest: Any) -> Event:
    name = f"{user_id} {item_id} {event_type} {days_ago} {sorted(rest.items())}"
    return Event(name, event_type, user_id, NOW - timedelta(days=days_ago), item_id, **rest)


def table(events: Sequence[Event]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {name: getattr(one, name) for name in SCHEMA.names if name != "context"} | {"context": "{}"}
            for one in events
        ],
        SCHEMA,
    )


def snapshot_in(
    folder: Path,
    *files: Sequence[Event],
    catalog: pl.DataFrame = NO_CATALOG,
    config: SnapshotSettings = HALF_LIFE,
    as_of: datetime | None = NOW,
    threads: int = 1,
) -> Snapshot:
    log = [folder / f"{number}.parquet" for number in range(len(files))]
    for path, events in zip(log, files, strict=True):
        pq.write_table(table(events), path)
    return snapshot_of(log, catalog, folder / "snapshots", config, as_of, EngineSettings(threads=threads))


def entries(snapshot: Snapshot, name: str) -> dict[tuple[str, str], float]:
    matrix = snapshot.matrix(name).tocoo()
    return {
        (snapshot.users.id(user), snapshot.items.id(item)): pytest.approx(float(weight))
        for user, item, weight in zip(matrix.row, matrix.col, matrix.data, strict=True)
    }


def test_a_purchase_counts_half_after_one_half_life_and_a_quarter_after_two(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 10), event("ann", "pear", 20), event("bob", "pear", 0.5)])
    assert entries(made, "combined") == {
        ("ann", "apple"): 0.5,
        ("ann", "pear"): 0.25,
        ("bob", "pear"): 2 ** (-0.5 / 10),
    }
    assert entries(made, "purchase") == {("ann", "apple"): 1, ("ann", "pear"): 1, ("bob", "pear"): 1}


def test_weights_of_event_types_add_up(tmp_path: Path) -> None:
    config = SnapshotSettings(half_life_days=10.0, event_weights={"view": 0.25, "purchase": 1.0})
    rows = [event("ann", "apple", 10, "view"), event("ann", "apple", 20), event("ann", "pear", 10, "share")]
    made = snapshot_in(tmp_path, rows, config=config)
    assert entries(made, "combined") == {("ann", "apple"): 0.125 + 0.25}
    assert entries(made, "share") == {("ann", "pear"): 1}


def test_a_returned_item_leaves_the_matrix(tmp_path: Path) -> None:
    rows = [
        event("ann", "apple", 10),
        event("ann", "apple", 5, quantity=-1.0),
        event("ann", "pear", 10),
        event("ann", "pear", 9),
        event("ann", "pear", 5, quantity=-2.0),
    ]
    made = snapshot_in(tmp_path, rows)
    assert entries(made, "purchase") == {("ann", "pear"): 1}
    assert entries(made, "combined") == {("ann", "pear"): 2**-1.0 + 2**-0.9 - 2**-0.5}


def test_a_quantity_of_0_counts_as_nothing(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 10, quantity=0.0), event("ann", "pear", 10)])
    assert entries(made, "combined") == {("ann", "pear"): 0.5}
    assert len(made.interactions.all) == 2


def test_a_user_likes_the_values_of_what_they_bought(tmp_path: Path) -> None:
    rows = [event("ann", "apple", 10), event("ann", "pear", 20), event("bob", "plum", 10)]
    made = snapshot_in(tmp_path, rows, catalog=BRANDS)
    assert made.manifest.dimensions == ("brand",)
    assert made.values("brand").ids() == ["red", "ripe"]
    np.testing.assert_allclose(made.item_values("brand").toarray(), [[1, 1], [0, 1], [0, 0]])
    np.testing.assert_allclose(made.affinities("brand").toarray(), [[0.5, 0.75], [0, 0]])


def test_features_of_items_count_what_happened_to_them(tmp_path: Path) -> None:
    rows = [
        event("ann", "apple", 20, quantity=2.0, value=6.0),
        event("ann", "apple", 10, value=4.0),
        event("bob", "apple", 10, value=5.0),
        event("bob", "apple", 10, "view"),
        event("bob", "apple", 5, quantity=-1.0, value=-5.0),
    ]
    made = snapshot_in(tmp_path, rows, catalog=BRANDS)
    apple, pear = made.item_features.to_dicts()
    assert apple == {
        "n_view": 1,
        "n_purchase": 2,
        "users": 2,
        "popularity": pytest.approx(0.25 + 0.5 + 0.5 + 0.05 - 2**-0.5),
        "repeat_rate": 0.5,
        "price": 4.0,
        "first_at": NOW - timedelta(days=20),
        "last_at": NOW - timedelta(days=5),
    }
    nothing = {"n_view": 0, "n_purchase": 0, "users": 0, "popularity": 0.0}
    assert pear == nothing | dict.fromkeys(("repeat_rate", "price", "first_at", "last_at"))


def test_features_of_users_count_what_they_did(tmp_path: Path) -> None:
    rows = [
        event("ann", "apple", 20, value=0.1, session_id="monday"),
        event("ann", "pear", 20, value=0.2, session_id="monday"),
        event("ann", "pear", 10, quantity=-1.0, value=-0.2, session_id="tuesday"),
        event("ann", "pear", 5, "view"),
    ]
    made = snapshot_in(tmp_path, rows)
    assert made.user_features.to_dicts() == [
        {
            "n_view": 1,
            "n_purchase": 1,
            "sessions": 2,
            "value": 0.1,
            "first_at": NOW - timedelta(days=20),
            "last_at": NOW - timedelta(days=5),
        }
    ]


def test_histories_are_in_order_of_time_and_sessions_are_numbered_by_their_start(tmp_path: Path) -> None:
    rows = [
        event("bob", "pear", 3, session_id="z"),
        event("ann", "pear", 1, session_id="a", quantity=2.0, value=3.5),
        event("ann", "apple", 2, "view", session_id="b"),
        event("ann", "apple", 1.5),
        event("ann", None, 1.7, "search", session_id="c"),
    ]
    made = snapshot_in(tmp_path, rows)
    ann, bob = made.interactions.of(0), made.interactions.of(1)
    assert [made.items.id(item) for item in ann.item] == ["apple", "apple", "pear"]
    assert [made.manifest.event_types[code] for code in ann.event_type] == ["view", "purchase", "purchase"]
    assert ann.session.tolist() == [1, -1, 2]
    assert bob.session.tolist() == [0]
    assert (ann.quantity[2], ann.value[2], ann.value[0]) == (2.0, 3.5, 0.0)
    assert ann.timestamp_s[2] == int((NOW - timedelta(days=1)).timestamp())


def test_fractions_of_a_second_keep_their_order_and_are_cut_off(tmp_path: Path) -> None:
    start = datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC)
    rows = [
        Event("1", "click", "ann", start + timedelta(milliseconds=900), "apple"),
        Event("2", "view", "ann", start + timedelta(milliseconds=600), "pear"),
    ]
    made = snapshot_in(tmp_path, rows, as_of=None)
    assert [made.items.id(item) for item in made.interactions.all.item] == ["pear", "apple"]
    assert made.interactions.all.timestamp_s.tolist() == [-2, -2]
    assert made.manifest.as_of == start + timedelta(seconds=1)


def test_a_shops_own_event_types_follow_the_standard_ones(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 1, "zoom"), event("ann", "apple", 1, "bid")])
    assert made.manifest.event_types == (*STANDARD_EVENT_TYPES, "bid", "zoom")
    assert entries(made, "zoom") == {("ann", "apple"): 1}


def test_without_a_catalog_the_items_of_the_events_may_be_shown(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 1)])
    assert made.catalog.select("item_id", "in_catalog", "visible").rows() == [("apple", True, True)]
    assert made.manifest.dimensions == ()


def test_an_item_that_only_events_name_is_not_in_the_catalog(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "plum", 1)], catalog=BRANDS)
    assert made.catalog.select("item_id", "in_catalog", "brand").rows() == [
        ("apple", True, ["red", "ripe"]),
        ("pear", True, ["ripe"]),
        ("plum", False, []),
    ]
    assert made.manifest.counts["items_in_catalog"] == 2


def test_nothing_after_as_of_is_known(tmp_path: Path) -> None:
    rows = [event("ann", "apple", 20), event("ann", "pear", 10), event("bob", "pear", 5)]
    made = snapshot_in(tmp_path, rows, as_of=NOW - timedelta(days=10))
    assert made.users.ids() == ["ann"]
    assert made.items.ids() == ["apple"]
    assert entries(made, "combined") == {("ann", "apple"): 0.5}
    assert made.manifest.last_event_at == NOW - timedelta(days=20)


def test_as_of_is_by_default_the_second_after_the_last_event(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 20), event("ann", None, 1, "search")], as_of=None)
    assert made.manifest.as_of == NOW - timedelta(days=1) + timedelta(seconds=1)


def test_before_gives_what_would_have_been_built_then(tmp_path: Path) -> None:
    then = NOW - timedelta(days=10)
    rows = [
        event("ann", "apple", 20, session_id="1", value=2.0),
        event("bob", "pear", 15, "view", session_id="2"),
        event("ann", "apple", 12, session_id="3", quantity=-1.0),
        event("ann", "pear", 10, session_id="4"),
        event("cid", "plum", 5, "zoom", session_id="5"),
    ]
    now = snapshot_in(tmp_path, rows, catalog=BRANDS)
    past = before(now, then, tmp_path / "past", EngineSettings(threads=1))
    built = snapshot_in(tmp_path, rows, catalog=BRANDS, as_of=then)

    assert past.users.ids() == now.users.ids() == ["ann", "bob", "cid"]
    assert past.items.ids() == now.items.ids() == ["apple", "pear", "plum"]
    assert (past.manifest.as_of, past.manifest.last_event_at) == (then, built.manifest.last_event_at)
    for name in ("combined", "purchase", "view"):
        assert entries(past, name) == entries(built, name)
    np.testing.assert_array_equal(past.affinities("brand").toarray()[:2], built.affinities("brand").toarray())
    for name in ("item", "event_type", "timestamp_s", "quantity", "value", "session"):
        np.testing.assert_array_equal(getattr(past.interactions.all, name), getattr(built.interactions.all, name))
    assert past.item_features[:2].equals(built.item_features)
    assert past.user_features[:2].equals(built.user_features)
    assert past.user_features[2].row(0, named=True)["n_purchase"] == 0
    assert len(past.user_features) == 3


def test_a_snapshot_cannot_tell_of_a_later_time(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 20)])
    with pytest.raises(InvalidInput, match="cannot tell"):
        before(made, NOW + timedelta(seconds=1), tmp_path)
    with pytest.raises(InvalidInput, match="No interaction happened before"):
        before(made, NOW - timedelta(days=20), tmp_path)


EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from(["ann", "bob", "çelik"]),
        st.sampled_from(["apple", "pear", None]),
        st.sampled_from([0.1, 1, 1.5, 33]),
        st.sampled_from(["purchase", "view", "zoom"]),
        quantity=st.sampled_from([1.0, -1.0, 0.0, 0.3]),
        value=st.sampled_from([None, 0.1, 0.7]),
        session_id=st.sampled_from([None, "1", "2"]),
    ),
    min_size=1,
    max_size=20,
).filter(lambda events: any(one.item_id for one in events))


@settings(max_examples=15, deadline=None)
@given(events=EVENTS, data=st.data())
def test_the_hash_depends_on_neither_the_order_nor_the_files_nor_the_threads(
    events: list[Event], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(events))
    cut = data.draw(st.integers(0, len(events)))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = snapshot_in(Path(one), events, catalog=BRANDS, as_of=None)
        second = snapshot_in(Path(other), shuffled[:cut], shuffled[cut:], catalog=BRANDS, as_of=None, threads=2)
        assert first.manifest.snapshot_hash == second.manifest.snapshot_hash


def test_sums_of_many_rows_are_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 300_000  # several of the pieces into which an engine divides its work
    start = int((NOW - timedelta(days=100)).timestamp() * 1e6)
    events = pl.DataFrame(
        {
            "event_id": [str(i) for i in range(n)],
            "event_type": "purchase",
            "user_id": rng.integers(0, 20, n).astype(str),
            "item_id": rng.integers(0, 3, n).astype(str),
            "timestamp": pl.from_epoch(pl.Series(rng.integers(start, start + 8_000_000_000_000, n)), "us"),
            "quantity": 1.0,
            "value": rng.integers(1, 1000, n) / 100,
            "session_id": rng.integers(0, 1000, n).astype(str),
        }
    ).with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    hashes = set()
    for threads in (1, 2, 5):
        path = tmp_path / f"{threads}.parquet"
        events.sample(fraction=1.0, shuffle=True, seed=threads).write_parquet(path, row_group_size=20_000)
        made = snapshot_of([path], BRANDS, tmp_path, HALF_LIFE, NOW, EngineSettings(threads=threads))
        hashes.add(made.manifest.snapshot_hash)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"config": SnapshotSettings(half_life_days=11.0)},
        {"config": SnapshotSettings(half_life_days=10.0, event_weights={"purchase": 0.5})},
        {"as_of": NOW + timedelta(seconds=1)},
        {"catalog": BRANDS.with_columns(title=pl.lit("Fruit"))},
        {"catalog": BRANDS.with_columns(colour=pl.lit(["green"]))},
    ],
    ids=str,
)
def test_the_hash_differs_where_something_differs(tmp_path: Path, change: dict[str, Any]) -> None:
    rows = [event("ann", "apple", 20)]
    usual = {"catalog": BRANDS}
    first = snapshot_in(tmp_path, rows, **usual)
    assert snapshot_in(tmp_path, rows, **(usual | change)).manifest.snapshot_hash != first.manifest.snapshot_hash


@pytest.mark.parametrize(
    "other",
    [
        event("ann", "apple", 20, quantity=2.0),
        event("ann", "apple", 20, value=2.0),
        event("ann", "apple", 20, session_id="1"),
        event("ann", "apple", 19),
        event("ann", "pear", 20),
        event("bob", "apple", 20),
        event("ann", "apple", 20, "view"),
    ],
    ids=lambda one: one.event_id,
)
def test_the_hash_differs_where_an_event_differs(tmp_path: Path, other: Event) -> None:
    hashes = {snapshot_in(tmp_path, [one]).manifest.snapshot_hash for one in (event("ann", "apple", 20), other)}
    assert len(hashes) == 2


def _shop(root: Path, events: Sequence[Event]) -> Layout:
    layout = Layout(root)
    log = EventLog(layout)
    log.append(events)
    log.close()
    catalog = Catalog(layout)
    apple = dict.fromkeys(CATALOG_FIELDS) | {"item_id": "apple", "item_type": "fruit", "visible": True}
    schema = {"published_at": pl.Datetime("us", "UTC"), "expires_at": pl.Datetime("us", "UTC")}
    catalog.upsert(pl.DataFrame([apple | {"brand": ["red"]}], schema_overrides=schema))
    catalog.close()
    return layout


LIVE = [event("ann", "apple", 30, value=1.0, session_id="a"), event("ann", "apple", 2, "view"), event("bob", "pear", 1)]


def test_live_and_archived_events_give_the_same_snapshot(tmp_path: Path) -> None:
    live, archived = _shop(tmp_path / "live", LIVE), _shop(tmp_path / "archived", LIVE)
    log = EventLog(archived)
    assert log.archive(NOW - timedelta(days=1.5)) == 2
    log.close()
    assert build(live).manifest.snapshot_hash == build(archived).manifest.snapshot_hash
    assert Snapshot.latest(live).values("brand").ids() == ["red"]


def test_a_build_of_an_unchanged_log_uses_the_snapshot_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = _shop(tmp_path, LIVE)
    first = build(layout)
    with monkeypatch.context() as patch:
        patch.delattr(snapshot_job, "snapshot_of")
        assert build(layout).folder == first.folder
    assert build(layout, as_of=NOW - timedelta(days=10)).folder != first.folder
    assert build(layout).folder == first.folder
    log = EventLog(layout)
    log.append([event("cid", "apple", 0.5)])
    log.close()
    assert build(layout).users.ids() == ["ann", "bob", "cid"]
    assert Snapshot.latest(layout).users.ids() == ["ann", "bob", "cid"]


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(InvalidInput, match="The log is empty"):
        build(layout)
    assert not layout.latest_snapshot.exists()
    assert list(layout.snapshots.iterdir()) == []


def test_the_command_says_what_it_built_and_warns_of_a_missing_catalog(tmp_path: Path) -> None:
    log = EventLog(Layout(tmp_path))
    log.append([event("ann", "apple", 1)])
    log.close()
    command = [sys.executable, "-m", "features", "build", "--var", str(tmp_path), "--as-of"]
    ended = subprocess.run([*command, "2026-03-01T00:00"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert "The catalog is empty" in ended.stderr
    assert f"Snapshot {Snapshot.latest(Layout(tmp_path)).manifest.snapshot_hash} as of 2026-03-01" in ended.stderr
    ended = subprocess.run([*command, "tomorrow"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "--as-of 'tomorrow' must be a day or a time such as 2017-12-04T12:00:00." in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_log_of_one_user_and_one_event_can_be_built(tmp_path: Path) -> None:
    made = snapshot_in(tmp_path, [event("ann", "apple", 10)])
    assert made.manifest.counts == {
        "users": 1,
        "items": 1,
        "items_in_catalog": 1,
        "interactions": 1,
        "sessions": 0,
    }


def test_a_moment_before_the_first_event_is_an_error_that_tells_the_range(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"reaches from 2026-02-19 00:00:00\+00:00"):
        snapshot_in(tmp_path, [event("ann", "apple", 10)], as_of=NOW - timedelta(days=10))


def test_a_log_without_items_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No event in the log names an item"):
        snapshot_in(tmp_path, [event("ann", None, 10, "search")])


def test_more_event_types_than_a_byte_can_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at most 235"):
        snapshot_in(tmp_path, [event("ann", "apple", 1, f"own_{n}") for n in range(240)])


def test_no_event_type_may_take_the_name_of_the_combined_matrix(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'combined'"):
        snapshot_in(tmp_path, [event("ann", "apple", 1, "combined")])
