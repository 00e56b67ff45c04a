"""What somebody is due to buy again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numba import njit
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy.special import expit

from features.compiled import BYTES, DOUBLE, FLOATS, INTS, LONG, LONGS
from features.events import PURCHASE
from features.interactions import DAY_S, History, IntArray, Interactions
from features.settings import Settings
from features.snapshot import Snapshot
from models.scorer import Features, Reason, Scorer, Scores, best_first

FloatArray = NDArray[np.float32]
N_COLUMNS = 18


class BuyAgainSettings(Settings):
    """How repeat purchases are counted and learned."""

    half_life_days: PositiveFloat = 60.0
    """Age at which a purchase counts half; a quarter and four times of it are looked at too."""
    horizon_days: PositiveFloat = 28.0
    """The time within which a repeat purchase is predicted."""
    prior_purchases: PositiveFloat = 3.0
    """How many purchases what is usual for all items weighs against what one item shows."""
    training_rows: PositiveInt = 200_000
    """How many pairs of a person and an item the weights are learned from, at most."""


@dataclass(frozen=True)
class BuyAgain(Scorer):
    """Scores an item of the history by the probability that it is bought again within ``horizon_days``.

    A logistic regression on the logarithms of how often, how regularly and how lately it was bought, compared with how
    often people in general come back for it.

    Attributes:
        interval_days: float32, shape (items,); the usual time between two purchases by the same person.
        repeat_rate: float32, shape (items,); the share of purchases after which the same person bought it once more.
        coefficients: float64, shape (columns + 1,); of log(1 + column), the intercept last.
    """

    name: ClassVar[str] = "buy-again"
    feature_names: ClassVar[tuple[str, ...]] = (
        "probability",
        "baskets",
        "decayed_fast",
        "decayed",
        "decayed_slow",
        "days_since_last",
        "days_since_first",
        "interval_days",
        "overdue",
        "baskets_since_last",
        "share_of_baskets",
        "pieces",
        "item_interval_days",
        "item_repeat_rate",
        "basket_rate",
        "basket_size",
        "days_since_basket",
        "repeat_share",
        "days_known",
    )

    config: BuyAgainSettings
    interval_days: FloatArray
    repeat_rate: FloatArray
    coefficients: NDArray[np.float64]

    @classmethod
    def fit(cls, snapshot: Snapshot, config: BuyAgainSettings, rng: Generator) -> Self:
        """Return the model of repeat purchases that the last ``horizon_days`` of ``snapshot`` teach."""
        interactions, end_s = snapshot.interactions, snapshot.manifest.as_of.timestamp()
        start_s = end_s - config.horizon_days * DAY_S
        nothing = np.zeros(N_COLUMNS + 1)
        past = cls(config, *_habits(interactions, len(snapshot.items), start_s, config.prior_purchases), nothing)
        tables, again, count = [], [], 0
        for user in rng.permutation(interactions.n_users):
            history = interactions.of(int(user))
            before = history.before(int(start_s))
            mine = _purchased(before)
            tables.append(past._columns(before, mine, start_s))
            again.append(np.isin(mine, _purchased(history[len(before) :])))
            count += len(mine)
            if count >= config.training_rows:
                break
        coefficients = _logistic(np.concatenate(tables), np.concatenate(again)) if count else nothing
        return cls(config, *_habits(interactions, len(snapshot.items), end_s, config.prior_purchases), coefficients)

    def scores(self, history: History, items: IntArray, now: datetime) -> Scores:
        """Return the probability that each of ``items`` is bought again; 0 for what was not bought."""
        return self._probability(self._columns(history, items, now.timestamp()))

    def features(self, history: History, items: IntArray, now: datetime) -> Features:
        """Return the columns ``feature_names``; those of an item that was not bought are 0, or NaN for times."""
        columns = self._columns(history, items, now.timestamp())
        return np.column_stack([self._probability(columns), columns])

    def candidates(self, history: History, n: int, now: datetime) -> IntArray:
        """Return the ``n`` items of the history that are likeliest to be bought again."""
        mine = _purchased(history)
        return best_first(mine, self.scores(history, mine, now), n)

    def reason(self, history: History, item: int, now: datetime) -> Reason | None:
        """Return that it was bought before, how often and how long ago."""
        columns = self._columns(history, np.array([item], dtype=np.int32), now.timestamp())[0]
        known = dict(zip(self.feature_names[1:], columns.tolist(), strict=True))
        if not known["baskets"]:
            return None
        baskets, days = int(known["baskets"]), int(known["days_since_last"])
        ago = {0: "within the last day", 1: "a day ago"}.get(days, f"{days} days ago")
        text = f"Bought {ago}." if baskets == 1 else f"Bought {baskets} times, the last time {ago}."
        return Reason("buy_again", text, (item,))

    def _columns(self, history: History, items: IntArray, now_s: float) -> Features:
        return _repeats(
            history.item,
            history.event_type,
            history.timestamp_s,
            history.quantity,
            history.session,
            items,
            now_s,
            self.config.half_life_days * DAY_S,
            self.interval_days,
            self.repeat_rate,
            N_COLUMNS,
        )

    def _probability(self, columns: Features) -> Scores:
        x = np.log1p(np.nan_to_num(columns))
        logit = x @ self.coefficients[:-1] + self.coefficients[-1]
        return np.where(columns[:, 0] > 0, expit(logit), 0).astype(np.float32)


def _purchased(history: History) -> IntArray:
    """Return the items bought, each once."""
    return np.unique(history.item[(history.event_type == PURCHASE) & (history.quantity > 0)])


def _logistic(columns: Features, again: NDArray[np.bool_]) -> NDArray[np.float64]:
    x = np.log1p(np.nan_to_num(columns)).astype(np.float64)
    if again.all() or not again.any():
        return np.append(np.zeros(x.shape[1]), 4.0 if again.all() else -4.0)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    scale = np.where(spread > 1e-3, spread, np.inf)  # what hardly varies teaches nothing, and must not extrapolate
    from sklearn.linear_model import LogisticRegression  # here: what answers needs none of it, and it is large

    model = LogisticRegression(max_iter=300).fit((x - mean) / scale, again)
    slope = model.coef_[0] / scale
    return np.append(slope, model.intercept_ - slope @ mean)


def _habits(interactions: Interactions, n_items: int, end_s: float, prior: float) -> tuple[FloatArray, FloatArray]:
    """Return for each item the usual days between purchases before ``end_s``, and how often there was a next one."""
    rows = interactions.all
    bought = (rows.event_type == PURCHASE) & (rows.quantity > 0) & (rows.timestamp_s < end_s)
    item, time_s = rows.item[bought], rows.timestamp_s[bought]
    pair = interactions.users()[bought].astype(np.int64) * n_items + item
    order = np.argsort(pair, kind="stable")
    gap_days = np.diff(time_s[order]) / DAY_S
    next_one = (np.diff(pair[order]) == 0) & (gap_days > 0)
    which = item[order][1:][next_one]
    gaps = np.bincount(which, minlength=n_items)
    days = np.bincount(which, gap_days[next_one], minlength=n_items)
    purchases = np.bincount(item, minlength=n_items)
    usual_days = days.sum() / max(gaps.sum(), 1)
    usual_rate = gaps.sum() / max(purchases.sum(), 1)
    interval = (days + prior * usual_days) / (gaps + prior)
    rate = (gaps + prior * usual_rate) / (purchases + prior)
    return interval.astype(np.float32), rate.astype(np.float32)


@njit((INTS, BYTES, LONGS, FLOATS, INTS, INTS, DOUBLE, DOUBLE, FLOATS, FLOATS, LONG), cache=True)
def _repeats(  # type: ignore[no-untyped-def]
    item, event_type, time_s, quantity, session, wanted, now_s, half_life_s, interval_days, repeat_rate, n_columns
):
    slot = np.zeros(len(interval_days), np.int32)
    n = len(item)
    baskets = np.zeros(n + 1, np.float32)
    pieces = np.zeros(n + 1, np.float32)
    decayed = np.zeros((n + 1, 3), np.float32)
    first_s = np.zeros(n + 1, np.int64)
    last_s = np.zeros(n + 1, np.int64)
    first_basket = np.zeros(n + 1, np.int32)
    last_basket = np.zeros(n + 1, np.int32)
    n_slots, n_baskets, n_lines = 0, 0, 0
    current = np.int64(0)
    basket_rate = np.float32(0)
    start_s, end_s = np.int64(0), np.int64(0)
    for row in range(n):
        if event_type[row] != PURCHASE or quantity[row] == 0:
            continue
        it = item[row]
        weight = 0.5 ** ((now_s - time_s[row]) / half_life_s)
        if quantity[row] < 0:
            at = slot[it]
            if at > 0 and baskets[at] > 0:
                pieces[at] += quantity[row]
                if pieces[at] <= 0:
                    baskets[at] = 0
                    pieces[at] = 0
                    decayed[at, :] = 0
            continue
        basket = np.int64(session[row]) if session[row] >= 0 else -2 - time_s[row] // DAY_S
        if n_baskets == 0 or basket != current:
            n_baskets += 1
            current = basket
            basket_rate += weight
            if n_baskets == 1:
                start_s = time_s[row]
            end_s = time_s[row]
        if slot[it] == 0:
            n_slots += 1
            slot[it] = n_slots
        at = slot[it]
        if baskets[at] == 0:
            first_s[at] = time_s[row]
            first_basket[at] = n_baskets
        pieces[at] += quantity[row]
        if baskets[at] == 0 or last_basket[at] != n_baskets:
            n_lines += 1
            baskets[at] += 1
            last_basket[at] = n_baskets
            last_s[at] = time_s[row]
            decayed[at, 0] += weight**4
            decayed[at, 1] += weight
            decayed[at, 2] += weight**0.25
    out = np.zeros((len(wanted), n_columns), np.float32)
    for k in range(len(wanted)):
        it = wanted[k]
        at = slot[it]
        if at > 0 and baskets[at] > 0:
            since = (now_s - last_s[at]) / DAY_S
            own = (last_s[at] - first_s[at]) / DAY_S
            interval = (own + interval_days[it]) / baskets[at]
            out[k, 0] = baskets[at]
            out[k, 1] = decayed[at, 0]
            out[k, 2] = decayed[at, 1]
            out[k, 3] = decayed[at, 2]
            out[k, 4] = since
            out[k, 5] = (now_s - first_s[at]) / DAY_S
            out[k, 6] = interval
            out[k, 7] = since / max(interval, 1.0)
            out[k, 8] = n_baskets - last_basket[at]
            out[k, 9] = baskets[at] / (n_baskets - first_basket[at] + 1)
            out[k, 10] = pieces[at]
        else:
            out[k, 4:9] = np.nan
        out[k, 11] = interval_days[it]
        out[k, 12] = repeat_rate[it]
        out[k, 13] = basket_rate
        if n_baskets > 0:
            out[k, 14] = n_lines / n_baskets
            out[k, 15] = (now_s - end_s) / DAY_S
            out[k, 16] = 1 - n_slots / n_lines
            out[k, 17] = (now_s - start_s) / DAY_S
        else:
            out[k, 15] = np.nan
    return out
