import numpy as np

from models.inner_products import inner_products


def test_products_are_over_the_first_numbers_alone_and_0_for_a_row_below_0() -> None:
    vectors = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)

    found = inner_products(vectors, np.array([1, -1, 0], np.int32), np.ones(4, np.float32), np.array([1, 3, 4]))

    assert found.tolist() == [[5, 18, 26], [0, 0, 0], [1, 6, 10]]


def test_of_no_rows_there_are_no_products() -> None:
    none = inner_products(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.ones(2, np.float32), np.array([2]))

    assert none.shape == (0, 1)
