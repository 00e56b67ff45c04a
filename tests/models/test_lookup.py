import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.lookup import best_rows

# Few different scores, so that many are equal, and some that are far apart or next to each other.
scores_told = st.lists(
    st.one_of(
        st.sampled_from([0.0, 0.25, 0.5, 1.0, float(np.nextafter(np.float32(1), np.float32(2)))]),
        st.floats(0, 2.0**99, width=32),
    )
)


@given(scores_told, st.integers(0, 20), st.randoms())
def test_the_best_rows_are_those_of_a_whole_sort_and_equal_ones_stand_in_order_of_the_items(scores, n, random) -> None:
    items = list(range(len(scores)))
    random.shuffle(items)
    expected = sorted(range(len(scores)), key=lambda row: (-scores[row], items[row]))[:n]

    found = best_rows(np.array(items, np.int32), np.array(scores, np.float32), n)

    assert found.tolist() == expected
