from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import Corrupt, NotFound
from features.vocabulary import Vocabulary

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(st.lists(IDS))
def test_every_id_has_one_index_and_finds_it_again(ids: list[str]) -> None:
    vocabulary = Vocabulary.of(ids)
    assert vocabulary.ids() == sorted(set(ids), key=str.encode)
    assert [vocabulary.find(name) for name in vocabulary.ids()] == list(range(len(vocabulary)))


@given(st.lists(IDS), IDS)
def test_only_what_was_given_is_found(ids: list[str], other: str) -> None:
    assert (other in Vocabulary.of(ids)) == (other in ids)


def test_an_id_that_begins_like_another_is_not_that_one() -> None:
    vocabulary = Vocabulary.of(["12", "34"])
    assert vocabulary.find("123") is None
    assert vocabulary.find("1") is None
    assert vocabulary.indices(["34", "345", "12"]).tolist() == [1, -1, 0]


def test_an_unknown_id_is_an_error_that_names_it() -> None:
    with pytest.raises(NotFound, match="'pear'"):
        Vocabulary.of(["apple"]).index("pear")


def test_a_vocabulary_comes_back_from_its_file(tmp_path: Path) -> None:
    Vocabulary.of(["pear", "äpfel"]).save(tmp_path / "ids.npy")
    assert Vocabulary.load(tmp_path / "ids.npy").ids() == ["pear", "äpfel"]


def test_an_empty_vocabulary_knows_nothing(tmp_path: Path) -> None:
    Vocabulary.of([]).save(tmp_path / "ids.npy")
    assert len(Vocabulary.load(tmp_path / "ids.npy")) == 0
    assert "apple" not in Vocabulary.load(tmp_path / "ids.npy")


def test_a_file_that_is_not_a_list_of_ids_is_corrupt(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(3))
    (tmp_path / "half.npy").write_bytes(b"\x93NUMPY")
    for name in ("numbers.npy", "half.npy", "missing.npy"):
        with pytest.raises(Corrupt, match=name):
            Vocabulary.load(tmp_path / name)
