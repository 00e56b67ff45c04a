from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.ab_test.design import Design, Metric
from evaluation.ab_test.units import Units, read, units_of
from features.errors import InvalidInput, NotFound


def design(**keys: Any) -> Design:
    return Design.of({"unit": "customer", "variant": "arm", "metrics": ("spend",), **keys}, "design")


def table(**columns: list[Any]) -> pd.DataFrame:
    rows = {
        "customer": ["a", "b", "c", "d"],
        "arm": ["control", "control", "new", "new"],
        "spend": [1.0, 2.0, 3.0, 4.0],
    }
    return pd.DataFrame({**rows, **columns})


def warned(units: Units, words: str) -> bool:
    return any(words in warning for warning in units.warnings)


def test_rows_of_one_unit_are_added_up() -> None:
    frame = table(customer=["a", "a", "c", "d"])
    frame.loc[1, "arm"] = "control"
    units = units_of(frame, design())
    assert units.outcome(Metric("spend")).numerator.tolist() == [3, 3, 4]
    assert units.sums["rows"].tolist() == [2, 1, 1]
    assert units.variant.tolist() == [0, 1, 1]


def test_a_column_of_zeros_and_ones_is_a_rate_of_units_and_not_of_rows() -> None:
    frame = table(customer=["a", "a", "c", "d"], spend=[1, 1, 0, 1])
    units = units_of(frame, design())
    assert units.kind(Metric("spend")) == "rate"
    assert units.outcome(Metric("spend")).numerator.tolist() == [1, 0, 1]
    assert units.outcome(Metric("spend", "rows")).value == pytest.approx(3 / 4)
    assert units.outcome(Metric("spend", "units")).value == pytest.approx(3 / 3)


def test_a_unit_seen_in_two_variants_is_left_out_of_both_and_reported() -> None:
    frame = table(customer=["a", "b", "a", "d"])
    units = units_of(frame, design())
    assert units.cross_overs == 1
    assert units.outcome(Metric("spend")).numerator.tolist() == [2, 4]
    assert warned(units, "1 unit of 3 seen in several variants")


def test_rows_without_unit_or_variant_are_left_out_and_counted() -> None:
    frame = pd.concat([table(), table(customer=[None, " ", "e", "f"], arm=["new", "new", None, "new"])])
    units = units_of(frame, design())
    assert len(units.variant) == 5
    assert warned(units, "3 rows without customer or arm left out")


def test_the_control_is_the_one_so_named_or_so_called_or_the_first() -> None:
    assert units_of(table(), design(control="new")).variants == ("new", "control")
    assert units_of(table(arm=["x", "x", "Control", "Control"]), design()).variants == ("Control", "x")
    units = units_of(table(arm=["x", "x", "b", "b"]), design())
    assert units.variants == ("b", "x")
    assert warned(units, "No control was named")


def test_without_a_unit_each_row_is_one_and_the_reader_is_told() -> None:
    units = units_of(table(customer=["a"] * 4), design(unit=None))
    assert len(units.variant) == 4
    assert warned(units, "every row is taken as one independent unit")


def test_a_unit_enters_with_its_first_row_and_units_come_in_that_order() -> None:
    frame = table(customer=["a", "b", "c", "c"], at=["2026-01-05", "2026-01-02", "2026-01-09", "2026-01-01T23:00:00Z"])
    units = units_of(frame, design(time="at"))
    assert units.entered is not None
    assert units.entered.astype("datetime64[D]").astype(str).tolist() == ["2026-01-01", "2026-01-02", "2026-01-05"]
    assert units.outcome(Metric("spend")).numerator.tolist() == [7, 2, 1]


def test_times_with_another_offset_count_in_utc() -> None:
    frame = table(at=["2026-01-01T23:30:00-02:00"] * 4)
    units = units_of(frame, design(time="at"))
    assert units.entered is not None
    assert str(units.entered[0].astype("datetime64[m]")) == "2026-01-02T01:30"


def test_a_missing_metric_is_an_error_unless_it_is_said_to_be_nothing() -> None:
    frame = table(spend=[1, None, 3, 4])
    with pytest.raises(InvalidInput, match=r"'spend' is missing in 1 row of 4.*--missing-as-zero"):
        units_of(frame, design())
    units = units_of(frame, design(missing_as_zero=True))
    assert units.outcome(Metric("spend")).numerator.tolist() == [1, 0, 3, 4]
    assert warned(units, "1 missing value taken as 0")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, float("inf"), 4], "must be finite .first: row 3, inf"),
        ([1, "two", 3, 4], "'spend' are not numbers .first: row 2, 'two'"),
    ],
)
def test_what_is_no_finite_number_is_named_with_its_row(values: list[Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        units_of(table(spend=values), design())


def test_negative_amounts_are_counted_and_told_but_no_denominator_may_be_one() -> None:
    frame = table(spend=[-5, 2, 3, 4], orders=[1, 1, 1, 1])
    assert warned(units_of(frame, design()), "1 negative value (the smallest -5)")
    with pytest.raises(InvalidInput, match="'spend', a denominator, must not be below 0"):
        units_of(frame, design(ratios=("orders/spend",)))


@pytest.mark.parametrize(
    ("frame", "changes", "message"),
    [
        (table(arm=["new"] * 4), {}, "has one variant, 'new'"),
        (table(arm=[None] * 4), {}, "has no variant"),
        (table(units=[1] * 4), {"ratios": ("spend/units",)}, "has a column 'units', but as a denominator"),
        (table(), {"control": "old"}, "no variant 'old'; it has 'control', 'new'"),
        (table(), {"metrics": ("clicks",)}, "no column 'clicks'; it has 'customer', 'arm', 'spend'"),
        (table(at=[1, 2, 3, 4]), {"time": "at"}, "'at' holds numbers; give dates"),
        (
            table(at=["2026-01-01", "soon", None, "2026-01-01"]),
            {"time": "at"},
            "must hold times .* .first: row 2, 'soon'",
        ),
        (table(age=[1, 2, 3, float("inf")]), {"covariates": ("age",)}, "covariate 'age' must be finite .first: row 4"),
        (table(age=[None] * 4), {"covariates": ("age",)}, "covariate 'age' has no value"),
    ],
)
def test_a_table_that_does_not_fit_says_what_is_wrong(
    frame: pd.DataFrame, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        units_of(frame, design(**changes))


def test_covariates_are_averaged_over_rows_and_gaps_get_the_mean_of_all() -> None:
    frame = table(customer=["a", "a", "c", "d"], age=[20, 40, None, 50])
    units = units_of(frame, design(covariates=("age",)))
    assert units.covariates is not None
    assert units.covariates[:, 0].tolist() == [30, 40, 50]
    assert warned(units, "1 unit without a value given the mean")
    assert warned(units, "differs between rows of one unit")


def test_a_unit_of_two_segments_is_in_none() -> None:
    frame = table(customer=["a", "a", "c", "d"], device=["phone", "desk", "phone", None])
    units = units_of(frame, design(segments=("device",)))
    assert units.segments["device"].tolist() == [None, "phone", None]
    assert warned(units, "device: 2 units with no or several values")


def test_a_csv_keeps_leading_zeros_and_names_that_look_missing(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("customer,arm,spend,extra\n01,None,1,x\n1,None,2,x\n2,NA,True,x\n3,NA,4,x\n", encoding="utf-8")
    units = read(path, design())
    assert units.variants == ("NA", "None")
    assert len(units.variant) == 4
    assert units.outcome(Metric("spend")).numerator.tolist() == [1, 2, 1, 4]


def test_csv_and_parquet_of_one_table_say_the_same(tmp_path: Path) -> None:
    frame = table(customer=["a", "a", "c", "d"])
    frame.loc[1, "arm"] = "control"
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    one, other = read(tmp_path / "t.csv", design()), read(tmp_path / "t.parquet", design())
    assert one.variants == other.variants
    np.testing.assert_array_equal(one.sums["spend"], other.sums["spend"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"", "neither a .parquet nor a .csv"),
        ("t.csv", b"", "cannot be read as .csv"),
        ("t.csv", b"customer,arm,spend\na,control,1\nb,n\xe9w,2\n", "is not UTF-8 text"),
        ("t.csv", b"customer,arm\na,control\n", "no column 'spend'"),
        ("t.csv", b"customer,arm,spend\na,control,1\nb,new,2,3,4\n", "cannot be read as .csv"),
        ("t.csv", b"customer,arm,sp\xe9nd\na,control,1\n", "is not UTF-8 text"),
        ("t.csv", b"customer,arm,spend\na,control\nb,new,2\n", "cannot be read as .csv"),
        ("t.csv", b"customer,arm,spend\n", "has no variant"),
        ("t.csv", b"customer,arm,spend,spend\na,control,1,2\nb,new,2,3\n", "has several columns 'spend'"),
        ("t.parquet", b"PAR1 no more", "cannot be read as .parquet"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path / name, design())


def test_a_parquet_file_damaged_anywhere_is_refused_in_words_or_read(tmp_path: Path) -> None:
    table(spend=[1.5, 2.5, 3.5, 4.5]).to_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    refused = 0
    for start in range(0, len(whole), 50):
        damaged = bytearray(whole)
        damaged[start : start + 50] = bytes(byte ^ 0x5A for byte in whole[start : start + 50])
        (tmp_path / "t.parquet").write_bytes(damaged)
        try:
            read(tmp_path / "t.parquet", design())
        except InvalidInput:
            refused += 1
    assert refused > 10


def test_what_is_wrong_with_a_file_is_told_in_one_line_that_a_terminal_can_show(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"customer,arm,spend\n" + bytes(range(1, 128)) * 10)
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "t.csv", design())
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200 + len(str(tmp_path)) + 50


def test_a_column_of_lists_is_refused_by_its_name(tmp_path: Path) -> None:
    table(customer=[["a"], ["b"], ["c"], ["d"]]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InvalidInput, match="column 'customer' holds list<"):
        read(tmp_path / "t.parquet", design())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file .*gone\.csv"):
        read(tmp_path / "gone.csv", design())
