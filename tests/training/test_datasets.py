from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import InvalidInput, NotFound
from training.datasets import Dataset, Protocol, read


def dataset(folder: Path, protocol: Protocol, ids_only: bool = False, **tables: dict[str, list]) -> Dataset:
    for name, columns in tables.items():
        pl.DataFrame(columns).write_parquet(folder / f"{name}.parquet")
    return read(folder, protocol, ids_only, folder / "workshop", np.random.default_rng(0))


def day(number: int) -> datetime:
    return datetime(2020, 1, number, tzinfo=UTC)


ORDERED = {"user_id": ["u", "u", "u", "v"], "item_id": ["a", "b", "c", "a"], "position": [1, 0, 2, 0]}


def histories(read: Dataset) -> list[list[int]]:
    interactions = read.snapshot.interactions
    return [interactions.of(user).item.tolist() for user in range(interactions.n_users)]


def test_a_history_is_in_the_order_of_its_positions(tmp_path: Path) -> None:
    mine, other = histories(dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=ORDERED))

    assert len(set(mine)) == 3
    assert other == [mine[1]]


def test_without_positions_it_is_in_the_order_of_the_file(tmp_path: Path) -> None:
    table = {"user_id": ["u", "v", "u"], "item_id": ["a", "b", "b"]}

    mine, other = histories(dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=table))

    assert mine[1:] == other


def test_without_positions_times_tell_the_order_and_what_has_none_keeps_its_place(tmp_path: Path) -> None:
    table = {"user_id": ["u", "u", "u", "u", "v"], "item_id": ["a", "b", "c", "d", "c"]}
    table |= {"timestamp": [day(3), day(1), None, day(2), day(1)]}

    mine, other = histories(dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=table))

    a, b, c, d = (mine[at] for at in (3, 0, 1, 2))
    assert len({a, b, c, d}) == 4
    assert other == [c]


@pytest.mark.parametrize(
    "times",
    [
        [1_577_923_200, 1_577_836_800, 1_578_009_600],
        [1_577_923_200_000.0, 1_577_836_800_000.0, 1_578_009_600_000.0],
        ["2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z"],
    ],
)
def test_times_may_be_seconds_milliseconds_or_text(times: list, tmp_path: Path) -> None:
    table = {"user_id": ["u"] * 3, "item_id": ["a", "b", "c"], "timestamp": times}

    found = dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=table).snapshot.interactions.of(0)

    assert [datetime.fromtimestamp(one, UTC) for one in found.timestamp_s.tolist()] == [day(1), day(2), day(3)]


def test_a_column_of_times_that_holds_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="timestamp holds String that is no time; allowed are times, seconds"):
        dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=ORDERED | {"timestamp": ["soon"] * 4})


def test_interactions_of_one_moment_share_a_session_and_keep_their_order(tmp_path: Path) -> None:
    table = ORDERED | {"timestamp": [day(1), day(1), day(2), None]}

    found = dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=table).snapshot.interactions.of(0)

    assert np.diff(found.timestamp_s).tolist() == [1, 86_399]
    assert found.session[0] == found.session[1] != found.session[2]


def test_items_are_renamed_by_the_seed_and_keep_their_titles(tmp_path: Path) -> None:
    items = {"item_id": ["a", "b", "c", "never"], "title": ["A", "B", "C", "N"], "attributes": [["x"], [], ["y"], []]}

    found = dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions=ORDERED, items=items)

    titles = found.snapshot.catalog["title"].to_list()
    assert sorted(titles) == ["A", "B", "C", "N"]
    assert [titles[item] for item in histories(found)[0]] == ["B", "A", "C"]
    assert found.snapshot.manifest.dimensions == ("attributes",)


def test_with_ids_only_nothing_else_is_known_of_items(tmp_path: Path) -> None:
    items = {"item_id": ["a"], "title": ["A"], "attributes": [["x"]]}

    found = dataset(tmp_path, Protocol.LEAVE_ONE_OUT, ids_only=True, interactions=ORDERED, items=items)

    assert found.snapshot.catalog["title"].null_count() == 3
    assert found.snapshot.manifest.dimensions == ()


def test_what_only_the_test_of_a_split_names_is_in_the_running(tmp_path: Path) -> None:
    train = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"]}
    test = {"user_id": ["v", "v"], "item_id": ["b", "unheard"]}

    found = dataset(tmp_path, Protocol.SPLIT, train=train, test=test)

    assert len(found.snapshot.items) == 3
    assert found.test is not None
    assert found.test.relevant.toarray().sum() == 2
    assert found.test.histories.of(0).item.tolist() == histories(found)[1]


def test_a_session_asks_for_the_target_after_what_is_known_of_the_prefix(tmp_path: Path) -> None:
    train = {"session_id": ["s", "s", "t", "t"], "item_id": ["a", "b", "b", "c"], "position": [0, 1, 0, 1]}
    test = {"example_id": [0, 1], "prefix": [["unheard", "a", "a"], ["b"]], "target": ["b", "unheard"]}

    found = dataset(tmp_path, Protocol.SESSIONS, train=train, test=test)

    a, b = histories(found)[0]
    assert found.test is not None
    assert found.test.histories.of(0).item.tolist() == [a, a]
    assert found.test.relevant[0].indices.tolist() == [b]
    assert found.test.relevant[1].nnz == 0


def test_a_missing_file_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file .*interactions\.parquet"):
        dataset(tmp_path, Protocol.LEAVE_ONE_OUT)
    with pytest.raises(InvalidInput, match="has no column item_id; it has user_id"):
        dataset(tmp_path, Protocol.LEAVE_ONE_OUT, interactions={"user_id": ["u"]})
    (tmp_path / "interactions.parquet").write_text("no parquet")
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        dataset(tmp_path, Protocol.LEAVE_ONE_OUT)


def test_sessions_are_in_order_of_time_whatever_the_file_says_and_the_test_begins_after_them(tmp_path: Path) -> None:
    day = pl.Series([9, 9, 1, 1]).cast(pl.Int64) * 86_400_000_000
    train = pl.DataFrame({"session_id": ["late", "late", "early", "early"], "item_id": list("abcd")})
    train.with_columns(timestamp=day.cast(pl.Datetime("us", "UTC"))).write_parquet(tmp_path / "train.parquet")
    pl.DataFrame({"prefix": [["a", "b"], ["c"]], "target": ["c", "d"]}).write_parquet(tmp_path / "test.parquet")

    data = read(tmp_path, Protocol.SESSIONS, False, tmp_path / "workshop", np.random.default_rng(0))

    times = data.snapshot.interactions.all.timestamp_s
    assert times[0] < times[2]
    assert data.test is not None
    assert data.test.histories.all.timestamp_s.tolist() == [times[3] + 1, times[3] + 2, times[3] + 1]
