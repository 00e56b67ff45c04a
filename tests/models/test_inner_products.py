import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.inner_products import LARGEST, inner_products, quantized

VECTORS = arrays(np.float32, (3, 5), elements=st.floats(-1000, 1000, width=32))


def test_products_are_over_the_first_numbers_alone_and_0_for_a_row_below_0() -> None:
    codes, unit = np.array([[2, 4, 6, 8], [5, 6, 7, 8]], np.int16), np.array([0.5, 1], np.float32)

    found = inner_products(codes, unit, np.array([1, -1, 0], np.int32), np.ones(4, np.float32), np.array([1, 3, 4]))

    assert found.tolist() == [[5, 18, 26], [0, 0, 0], [1, 6, 10]]


def test_of_no_rows_there_are_no_products() -> None:
    none = quantized(np.zeros((0, 2)))

    found = inner_products(*none, np.zeros(0, np.int32), np.ones(2, np.float32), np.array([2]))

    assert found.shape == (0, 1)


def test_the_largest_number_of_a_row_has_the_largest_code_and_a_row_of_zeros_has_none() -> None:
    codes, unit = quantized(np.array([[3.0, -1.5, 0.0], [0.0, 0.0, 0.0]]))

    assert codes.tolist() == [[LARGEST, -(LARGEST + 1) // 2, 0], [0, 0, 0]]
    assert unit.tolist() == pytest.approx([3 / LARGEST, 0])


@given(VECTORS)
def test_what_is_quantized_is_off_by_half_a_code_at_most(vectors: np.ndarray) -> None:
    codes, unit = quantized(vectors)

    off = np.abs(codes * unit[:, np.newaxis].astype(np.float64) - vectors)

    assert (off <= 0.501 * unit[:, np.newaxis] + 1e-30).all()
