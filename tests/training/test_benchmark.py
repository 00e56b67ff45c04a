import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.training.conftest import Command
from training import benchmark, stages

ITEMS, PEOPLE, LENGTH = 40, 120, 8


def ring(folder: Path, protocol: str) -> None:
    """Write a data set in which each item is followed by the next one of a ring."""
    rng = np.random.default_rng(0)
    names = [f"i{number}" for number in rng.permutation(ITEMS)]
    walks = [[names[(start + at) % ITEMS] for at in range(LENGTH)] for start in rng.integers(0, ITEMS, PEOPLE)]
    person = "session_id" if protocol == "sessions" else "user_id"
    rows = [(f"p{user}", name, at) for user, walk in enumerate(walks) for at, name in enumerate(walk)]
    table = pl.DataFrame(rows, [person, "item_id", "position"], orient="row")
    if protocol == "leave-one-out":
        table.write_parquet(folder / "interactions.parquet")
        return
    if protocol == "split":
        held_out = rng.random(len(table)) < 0.25
        table.filter(~held_out).write_parquet(folder / "train.parquet")
        table.filter(held_out).write_parquet(folder / "test.parquet")
        return
    table.write_parquet(folder / "train.parquet")
    examples = [(walk[:3], walk[3]) for walk in walks[:20]]
    pl.DataFrame(examples, ["prefix", "target"], orient="row").write_parquet(folder / "test.parquet")


@pytest.mark.parametrize(
    ("protocol", "metric", "workers"),
    [("leave-one-out", "recall@5", 2), ("split", "recall@20", 1), ("sessions", "mrr@20", 1)],
)
def test_what_always_follows_is_found(
    protocol: str, metric: str, workers: int, tmp_path: Path, command: Command
) -> None:
    ring(tmp_path, protocol)
    options = {"protocol": protocol, "json": tmp_path / "out.json", "budget-minutes": 0.1, "workers": workers}

    ended = command("benchmark", tmp_path, *(one for name, value in options.items() for one in (f"--{name}", value)))

    assert ended.status == 0, ended.text
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["metrics"][metric] > 0.9
    assert found["protocol"] == protocol
    assert sum(found["chosen"]["shares"].values()) == pytest.approx(1)
    assert "titles" not in found["chosen"]["parts"]
    assert found["peak_memory_mb"] > 0
    laxer = {"ties shuffled", "refitted with the validation items"} if protocol == "leave-one-out" else set()
    assert set(found["variants"]) == {"distilled"} | laxer
    assert found["variants"]["distilled"][metric] > 0.9
    assert found["answering_ms"]["distilled"]["median"] > 0


def test_where_no_time_is_left_it_is_asked_all_the_same(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a round ten questions are asked, each with no more candidates than there are items.
    ring(tmp_path, "sessions")
    monkeypatch.setattr(stages, "QUESTIONS_AT_ONCE", 10)
    monkeypatch.setattr(benchmark, "SHARE_UNTIL_ASKED", 0.0)
    monkeypatch.setattr(benchmark, "LEAST_SHARE_TO_ASK", 1.0)
    options = ("--protocol", "sessions", "--budget-minutes", 0.1, "--workers", 1)

    ended = command("benchmark", tmp_path, *options, "--json", tmp_path / "out.json")

    assert ended.status == 0, ended.text
    assert json.loads((tmp_path / "out.json").read_text())["chosen"]["lesson_rows"] > 10 * ITEMS


def test_what_could_not_be_written_in_the_end_is_not_begun(tmp_path: Path, command: Command) -> None:
    asked = command("benchmark", tmp_path, "--protocol", "split", "--json", tmp_path / "none" / "out.json")

    assert asked.status == 2
    assert "no such folder" in asked.text


def test_a_protocol_that_there_is_not_and_a_folder_without_data_are_said(tmp_path: Path, command: Command) -> None:
    unknown = command("benchmark", tmp_path, "--protocol", "guess", "--json", tmp_path / "out.json")
    empty = command("benchmark", tmp_path, "--protocol", "split", "--json", tmp_path / "out.json")

    assert unknown.status == empty.status == 2
    assert "no protocol 'guess'" in unknown.text
    assert "train.parquet" in empty.text
    assert not (tmp_path / "out.json").exists()
