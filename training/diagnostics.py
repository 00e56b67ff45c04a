"""What a test tells about a model beyond its accuracy: on one page, in numbers, and in loud words where it is bad."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from evaluation.ranking_metrics import NO_ITEM, shown
from training.backtest import PLACES, by_history, intervals, of_targets, variety

BINS: Final = 10
SAME: Final = 0.8
"""Warned is where more of everybody's places than this hold the same few items."""
POPULAR: Final = 0.95
"""And where these are, in the mean, bought by more people than this share of the catalog."""

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; margin: .5rem 0 }}
th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd }}
th:first-child, td:first-child {{ text-align: left }}
.warning {{ background: #b00020; color: white; font-weight: bold; padding: .8rem 1rem }}
img {{ max-width: 100% }} p {{ color: #555 }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How what is promised compares with what came true.

    Scores become probabilities by a logistic regression on every second user; the others are looked at.

    Attributes:
        promised: Mean probability of each bin of places, ascending; shape (bins,).
        found: Share of these places that held something bought; shape (bins,).
        places: How many places each bin holds; shape (bins,).
    """

    promised: NDArray[np.float64]
    found: NDArray[np.float64]
    places: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The mean distance of the two, over places (expected calibration error); 0 where there are none."""
        total = self.places.sum()
        return float(np.abs(self.promised - self.found) @ self.places / total) if total else 0.0


def calibration(ranked: pl.DataFrame) -> Calibration:
    """Return the calibration of the rankings ``ranked`` of one target; see ``rank_held_out`` for its columns."""
    score, hit = (ranked[name].to_numpy() for name in ("score", "hit"))
    filled = ranked["ranking"].to_numpy() != NO_ITEM
    learn = np.broadcast_to(np.arange(len(ranked))[:, np.newaxis] % 2 == 0, filled.shape) & filled
    judge = filled & ~learn
    y = hit[learn]
    if not judge.any() or not y.any() or y.all():
        none = np.zeros(0)
        return Calibration(none, none, np.zeros(0, np.int64))
    spread = score[learn].std() or 1.0
    model = LogisticRegression(C=1e6).fit(score[learn][:, np.newaxis] / spread, y)
    promised = model.predict_proba(score[judge][:, np.newaxis] / spread)[:, 1]
    bins = np.array_split(np.argsort(promised, kind="stable"), BINS)
    bins = [one for one in bins if len(one)]
    return Calibration(
        np.array([promised[one].mean() for one in bins]),
        np.array([hit[judge][one].mean() for one in bins]),
        np.array([len(one) for one in bins]),
    )


def sameness(rankings: NDArray[np.int32], buyers: NDArray[np.int64]) -> tuple[float, float]:
    """Return which share of all filled places the ``PLACES`` items take that are shown most, and how popular they are.

    The latter is the share of items that fewer people bought, in the mean; ``buyers`` counts them, shape (items,).
    """
    times = shown(rankings, len(buyers), PLACES)
    most = np.argsort(-times, kind="stable")[:PLACES]
    most = most[times[most] > 0]
    if not len(most):
        return 0.0, 0.0
    fewer = np.searchsorted(np.sort(buyers), buyers[most], side="left") / len(buyers)
    return float(times[most].sum() / times.sum()), float(fewer.mean())


def warnings(ranked: pl.DataFrame, buyers: NDArray[np.int64]) -> list[str]:
    """Return one sentence for each target whose rankings are the same popular items for everybody."""
    found = []
    for target, rows in of_targets(ranked).items():
        share, popularity = sameness(rows["ranking"].to_numpy(), buyers)
        if len(rows) > 1 and share > SAME and popularity >= POPULAR:
            found.append(
                f"EVERYBODY GETS THE SAME POPULAR ITEMS ({target}): {PLACES} items take {share:.0%} of the places of "
                f"{len(rows)} users, and more people bought them than {popularity:.0%} of the others. This is no "
                "personalization; look at the parts of the model, or give it more to learn from."
            )
    return found


def numbers(ranked: pl.DataFrame, buyers: NDArray[np.int64]) -> dict[str, float]:
    """Return what a run logs of this: ``TARGET/sameness`` and ``TARGET/calibration_error``."""
    found = {}
    for target, rows in of_targets(ranked).items():
        found[f"{target}/sameness"] = sameness(rows["ranking"].to_numpy(), buyers)[0]
        found[f"{target}/calibration_error"] = calibration(rows).error
    return found


def page(
    title: str,
    ranked: pl.DataFrame,
    buyers: NDArray[np.int64],
    in_catalog: NDArray[np.bool_],
    pictures: Mapping[str, Path],
    seed: int,
) -> str:
    """Return the report of one test as one HTML page that loads nothing from elsewhere.

    Args:
        title: Its heading.
        ranked: As ``rank_held_out`` returns it.
        buyers: How many users bought each item; shape (items,).
        in_catalog: Whether each item may be shown; shape (items,).
        pictures: PNG files by their captions.
        seed: Draws resamples of intervals.
    """
    targets = of_targets(ranked)
    body = [f'<p class="warning">{escape(sentence)}</p>' for sentence in warnings(ranked, buyers)]
    metrics = intervals(ranked, seed)
    names = list(next(iter(metrics.values()), {}))
    body += _table(
        f"Accuracy and novelty at {PLACES} places, with 95 % intervals over users",
        ("found", "users", *names),
        [
            (target, f"{len(targets[target]):,}", *(f"{i.mean:.4f} ({i.low:.4f}-{i.high:.4f})" for i in of.values()))
            for target, of in metrics.items()
        ],
        "Novelty: how many bits an item of the list tells, rare ones more.",
    )
    body += _table(
        "Variety",
        ("found", "coverage", "gini", "distinct lists", "share of the most shown"),
        [
            (
                target,
                *(f"{value:.3f}" for value in of.values()),
                f"{sameness(targets[target]['ranking'].to_numpy(), buyers)[0]:.3f}",
            )
            for target, of in variety(ranked, in_catalog).items()
        ],
        "Coverage: share of the catalog that anybody is shown. Gini: 0 where all are shown equally often, near 1 where"
        f" few are. Distinct lists: as a share of users. The last: what the {PLACES} most shown take of all places.",
    )
    for target, rows in targets.items():
        body += _table(
            f"NDCG@{PLACES} by length of history: {target}",
            ("purchases before", "users", "NDCG", "recall"),
            _by_history(rows),
            "Groups of one size, ordered by their purchases before the held-out period.",
        )
        of = calibration(rows)
        body += _table(
            f"Calibration: {target}",
            ("promised", "found", "places"),
            [
                (f"{a:.4f}", f"{b:.4f}", f"{n:,}")
                for a, b, n in zip(of.promised.tolist(), of.found.tolist(), of.places.tolist(), strict=True)
            ],
            f"Probability of a purchase by the score, learned on half of the users and looked at on the others; mean "
            f"distance {of.error:.4f}.",
        )
    for caption, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        body.append(f'<h2>{escape(caption)}</h2><img alt="{escape(caption)}" src="data:image/png;base64,{data}">')
    return PAGE.format(title=escape(title), body="\n".join(body))


def _by_history(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    return [
        (
            f"{group['purchases'][0]}-{group['purchases'][-1]}",
            f"{len(group):,}",
            *(f"{group[name].to_numpy().mean():.4f}" for name in ("ndcg", "recall")),
        )
        for group in by_history(rows)
    ]


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> list[str]:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return [f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{cells}</table><p>{escape(note)}</p>"]
