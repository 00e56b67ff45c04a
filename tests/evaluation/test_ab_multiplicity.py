from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from evaluation.ab_test.multiplicity import corrected


def test_three_p_values_are_corrected_by_hand() -> None:
    assert corrected([0.04, 0.01, 0.02], "holm") == pytest.approx([0.04, 0.03, 0.04])
    assert corrected([0.04, 0.01, 0.02], "benjamini-hochberg") == pytest.approx([0.04, 0.03, 0.03])


def test_no_question_has_no_answer() -> None:
    assert corrected([], "holm") == corrected([], "benjamini-hochberg") == []


def test_corrections_of_many_with_ties_are_those_of_statsmodels() -> None:
    p_values = np.round(np.random.default_rng(0).random(40) ** 4, 2).tolist()
    for ours, theirs in (("holm", "holm"), ("benjamini-hochberg", "fdr_bh")):
        assert corrected(p_values, ours) == pytest.approx(multipletests(p_values, method=theirs)[1])
