"""``benchmarks/README.md`` is made of the files of the runs, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.table import HERE, main, page
from features.errors import InvalidInput, NotFound

RUN = {
    "dataset": "amazon_beauty",
    "protocol": "leave-one-out",
    "metrics": {"recall@10": 0.13123, "ndcg@10": 0.08},
    "variants": {"distilled": {"recall@10": 0.125, "ndcg@10": 0.0772}},
    "answering_ms": {"full": {"median": 2.0, "p99": 3.456}, "distilled": {"median": 0.4, "p99": 0.5}},
    "seconds": {"choose": 600.0, "all": 900.0},
    "peak_memory_mb": 2048,
    "chosen": {"shares": {"titles": 0.4, "walks": 0.6}},
    "seed": 3,
    "ids_only": False,
}


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ours_stands_beside_the_published_in_the_same_unit() -> None:
    text = page([RUN, {**RUN, "dataset": "diginetica", "metrics": {"hr@20": 0.5804, "mrr@20": 0.2121}, "variants": {}}])

    assert "| **.1312** | **.0800** | 10 min to choose and fit, 2.0 GB | 2.00 (3.46) ms |" in text
    assert "| .1250 | .0772 | keeps 96.5% | 0.40 (0.50) ms |" in text
    assert row(text, "WEARec")[1:3] == [".1041", ".0614"]
    assert "| **58.0** | **21.2** |" in text
    assert row(text, "DIDN")[1:3] == ["56.2", "20.0"]
    assert "walks 60%, titles 40%" in text


def test_a_set_without_a_run_says_so_and_a_set_nobody_published_on_is_shown_apart() -> None:
    text = page([{**RUN, "dataset": "toys"}])

    assert text.count("| **Attune** | not run | not run |") == 3
    assert row(text, "toys")[2] == "recall@10 0.1312, ndcg@10 0.0800"


def test_what_a_shop_sold_in_its_last_days_is_shown_for_each_model(tmp_path: Path) -> None:
    one = {"mean": 0.25, "low": 0.2, "high": 0.3}
    run = {
        "held_out_from": "2017-12-04",
        "days": 28,
        "places": 20,
        "users": {"all": 2000, "new": 1},
        "models": {"als": {"coverage": 0.1, "all": {"recall": one, "ndcg": {**one, "mean": 0.275}}}},
    }
    (tmp_path / "complete_journey.json").write_text(json.dumps(run))
    main(tmp_path, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()

    assert "## The Complete Journey" in text
    assert "all, recall@20 | all, ndcg@20 | new, recall@20 | new, ndcg@20" in text
    assert row(text, "als")[1:] == ["0.2500 (0.2000 to 0.3000)", "0.2750 (0.2000 to 0.3000)", "-", "-"]


def test_each_question_that_ways_to_weigh_events_were_asked_is_shown() -> None:
    one = {"mean": 0.25, "low": 0.2, "high": 0.3}
    ways = {
        "unweighted": {"ndcg@20": one, "learned_less_this": {"mean": 0.01, "low": -0.02, "high": 0.04}},
        "learned": {"ndcg@20": one, "learned_less_this": one},
    }
    weights = {"learned_weights": {"history": {"view": 1.0, "purchase": 0.5}}}
    asked = {"any": weights | ways, "new": weights | ways}

    for run in (asked, asked | {"both": ways}):
        text = page([run])
        for question in run:
            assert f"| {question} | unweighted | 0.2500 (0.2000 to 0.3000) | +0.0100 (-0.0200 to +0.0400) |" in text
            assert f"| {question} | learned | 0.2500 (0.2000 to 0.3000) |  |" in text
        assert "(any: view 1.00, purchase 0.50; new: view 1.00, purchase 0.50)" in text


def test_every_benchmark_that_can_be_run_is_listed() -> None:
    text = page([])
    for path in HERE.glob("*.py"):
        if 'if __name__ == "__main__"' in path.read_text():
            assert f"| `python -m benchmarks.{path.stem}` |" in text, path.stem


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "README.md"
    (tmp_path / "a.json").write_text(json.dumps(RUN))
    main(tmp_path, out)
    assert "**.1312**" in out.read_text()

    (tmp_path / "b.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"b\.json is not JSON"):
        main(tmp_path, out)
    with pytest.raises(NotFound):
        main(tmp_path / "missing", out)
    assert "**.1312**" in out.read_text()
