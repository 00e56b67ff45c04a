from __future__ import annotations

import pytest

from features.remembered import forget_older_half


@pytest.mark.parametrize(("n", "left"), [(0, []), (1, [0]), (2, [1]), (5, [2, 3, 4])])
def test_what_came_last_stays_in_its_order(n: int, left: list[int]) -> None:
    known = {key: str(key) for key in range(n)}
    forget_older_half(known)
    assert list(known.items()) == [(key, str(key)) for key in left]
