"""Hierarchies: what is in a category is in those above it."""

from __future__ import annotations

import polars as pl
import pytest

from features.catalog import InvalidItem, parse
from features.fields import Labels


def test_a_deep_category_is_preceded_by_those_above_it():
    item = parse({"item_id": "a", "dimensions": {"category": "Home > Lamps > Table lamps", "colour": ["black"]}})
    assert item["dimensions"] == {
        "category": ["Home", "Home > Lamps", "Home > Lamps > Table lamps"],
        "colour": ["black"],
    }
    again = parse({"item_id": "a", "dimensions": item["dimensions"]})
    assert again == item


def test_categories_that_share_a_level_name_it_once():
    assert Labels().value(["Home > Lamps", "Home > Rugs", "Sale"]) == ["Home", "Home > Lamps", "Home > Rugs", "Sale"]


def test_a_sign_between_no_two_levels_is_a_text_like_any_other():
    assert Labels().value(["> 5 W", "5>3", "a >  > b"]) == ["> 5 W", "5>3", "a >  > b"]


def test_files_have_hierarchies_as_well():
    cells = pl.Series(["Home > Lamps", "Garden", None])
    assert Labels().column(cells).values.to_list() == [["Home", "Home > Lamps"], ["Garden"], None]
    several = pl.Series(["Home > Lamps|Sale"])
    assert Labels("|").column(several).values.to_list() == [["Home", "Home > Lamps", "Sale"]]


def test_the_levels_above_count_as_well():
    with pytest.raises(InvalidItem, match="the levels above"):
        parse({"item_id": "a", "dimensions": {"category": [f"{k} > {k}" for k in range(33)]}})
