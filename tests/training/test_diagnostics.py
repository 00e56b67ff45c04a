from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation.ranking_metrics import NO_ITEM
from features.layout import Layout
from tests.training.conftest import Command
from training.backtest import METRICS, PLACES
from training.diagnostics import calibration, numbers, page, sameness, warnings
from training.tracking import CHALLENGER, Tracking

USERS, ITEMS = 40, 1000
BUYERS = np.arange(ITEMS)  # the last items are the most popular


def ranked(rankings: np.ndarray, score: np.ndarray | None = None, hit: np.ndarray | None = None) -> pl.DataFrame:
    """Return a test with these rankings, whatever the metrics."""
    n = len(rankings)
    columns = {"target": ["all"] * n, "user_id": [f"u{at}" for at in range(n)], "purchases": range(n)}
    return pl.DataFrame(
        columns
        | {"relevant": [1] * n}
        | {name: np.linspace(0, 1, n) for name in METRICS}
        | {
            "ranking": rankings.astype(np.int32),
            "score": np.zeros(rankings.shape, np.float32) if score is None else score,
            "hit": np.zeros(rankings.shape, np.bool_) if hit is None else hit,
        }
    )


def test_everybody_getting_the_same_popular_items_is_said_loudly() -> None:
    popular = ranked(np.tile(np.arange(ITEMS - PLACES, ITEMS), (USERS, 1)))

    (sentence,) = warnings(popular, BUYERS)

    assert "EVERYBODY GETS THE SAME POPULAR ITEMS (all)" in sentence
    assert "20 items take 100% of the places of 40 users" in sentence
    assert 'class="warning"' in page("t", popular, BUYERS, np.ones(ITEMS, np.bool_), {}, 0)


def test_own_lists_are_no_reason_to_warn_and_neither_are_the_same_rare_items() -> None:
    own = np.arange(USERS * PLACES).reshape(USERS, PLACES)
    rare = np.tile(np.arange(PLACES), (USERS, 1))

    assert warnings(ranked(own), BUYERS) == []
    assert warnings(ranked(rare), BUYERS) == []
    assert 'class="warning"' not in page("t", ranked(own), BUYERS, np.ones(ITEMS, np.bool_), {}, 0)


def test_sameness_is_the_share_of_places_of_the_items_shown_most() -> None:
    rankings = np.full((USERS, PLACES), NO_ITEM)
    rankings[:, 0] = ITEMS - 1
    rankings[:, 1] = np.arange(USERS)  # 40 different ones: 19 of them are among the 20 most shown

    share, popularity = sameness(rankings, BUYERS)

    assert share == pytest.approx((40 + 19) / 80)
    assert popularity == pytest.approx((0.999 + np.arange(19).mean() / ITEMS * 19) / 20)


def test_scores_that_are_log_odds_are_calibrated_and_random_ones_promise_no_differences() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(-1, 2, (2000, PLACES)).astype(np.float32)
    hit = rng.random(score.shape) < 1 / (1 + np.exp(-score))
    rankings = np.tile(np.arange(PLACES), (2000, 1))

    honest = calibration(ranked(rankings, score, hit))
    noise = calibration(ranked(rankings, rng.permutation(score.ravel()).reshape(score.shape), hit))

    assert honest.error < 0.02
    assert honest.promised[-1] > 0.85
    assert honest.found[-1] == pytest.approx(honest.promised[-1], abs=0.03)
    assert noise.promised.max() - noise.promised.min() < 0.1


def test_without_hits_there_is_nothing_to_calibrate() -> None:
    assert calibration(ranked(np.tile(np.arange(PLACES), (USERS, 1)))).error == 0
    assert numbers(ranked(np.tile(np.arange(PLACES), (USERS, 1))), BUYERS)["all/sameness"] == 1


def test_a_fit_leaves_its_report_in_one_page(layout: Layout, command: Command, tmp_path: Path) -> None:
    fitted = command("fit", "own-frequency", "--workers", 1, "--var", layout.root)
    assert fitted.status == 0, fitted.text
    challenger = Tracking(layout.mlflow).named(CHALLENGER)
    assert challenger is not None

    text = (challenger.run.artifacts / "report.html").read_text()

    assert text.count("data:image/png;base64,") == 2
    for words in ("NDCG@20 by length of history: all", "Calibration: new", "gini", "distinct lists", "novelty"):
        assert words in text
    assert "http" not in text.replace("http-equiv", "")
