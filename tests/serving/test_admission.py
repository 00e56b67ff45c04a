from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.admission import admitted
from serving.filters import NO_BITS, NOT_ASKED
from serving.variations import NO_LIMITS, Limits

N = 40
NOTHING = np.zeros(0, np.int32)
scores = st.sampled_from([-np.inf, 0.0, 0.5, 1.0, 2.0])
rows_of = st.lists(st.integers(0, N - 1), unique=True, max_size=6)


def admission(
    total: list[float],
    base: list[float],
    n: int,
    first: list[int] | None = None,
    out: list[int] | None = None,
    kept: list[bool] | None = None,
    hidden: list[int] | None = None,
    without: list[int] | None = None,
    bits: list[bool] | None = None,
    limits: Limits = NO_LIMITS,
) -> list[int]:
    """Return the rows that join, of items whose indices are those of the rows."""
    size = len(total)
    visible = np.ones(size, np.bool_)
    visible[hidden or []] = False
    rows: list[int] = admitted(
        *(np.arange(size, dtype=np.int32), np.array(base, np.float64), np.array(total, np.float64)),
        *(np.array(first or [], np.int64), np.array(out or [], np.int64)),
        *(NOT_ASKED if kept is None else np.array(kept), np.ones(size, np.bool_), visible, np.full(size, np.nan)),
        *(np.zeros(size, np.int64), np.ones(size, np.int64), 0.5, np.array(sorted(without or []), np.int32)),
        *(NO_BITS if bits is None else np.packbits(bits, bitorder="little"), *limits, NOTHING, n),
    ).tolist()
    return rows


@given(
    pairs=st.lists(st.tuples(scores, scores), min_size=N, max_size=N),
    n=st.integers(0, N + 5),
    first=rows_of,
    out=rows_of,
    hidden=rows_of,
    without=rows_of,
    bits=st.lists(st.booleans(), min_size=N, max_size=N),
    kept=st.none() | st.lists(st.booleans(), min_size=N, max_size=N),
)
def test_who_joins_a_list_is_who_remains_of_a_stable_sort_without_those_that_a_rule_removes(
    pairs: list[tuple[float, float]],
    n: int,
    first: list[int],
    out: list[int],
    hidden: list[int],
    without: list[int],
    bits: list[bool],
    kept: list[bool] | None,
) -> None:
    total, base = [list(one) for one in zip(*pairs, strict=True)]
    counted = [row for row in range(N) if base[row] > 0 and total[row] > -np.inf and row not in (*first, *out)]
    ordered = [*first, *sorted(counted, key=lambda row: -total[row])]
    passing = [row for row in ordered if row not in (*hidden, *without) and bits[row] and (kept is None or kept[row])]
    assert admission(total, base, n, first, out, kept, hidden, without, bits) == passing[:n]


def test_no_more_of_one_value_join_than_its_limit_allows() -> None:
    start = np.arange(8)
    values = np.array([0, 1, 0, 0, 1, 1, 0, 2], np.int32)
    limits = start, start + 1, values, np.array([2, 1, 1], np.int32)
    total = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert admission(total, total, 8, limits=limits) == [0, 1, 2, 7]
    assert admission(total, total, 3, limits=limits) == [0, 1, 2]


def test_more_values_than_are_expected_are_counted_as_well() -> None:
    size = 500
    every = np.arange(size)
    limits = every, every + 1, (every % 250).astype(np.int32), np.ones(250, np.int32)
    total = np.arange(size, 0.0, -1).tolist()
    assert admission(total, total, size, limits=limits) == list(range(250))
