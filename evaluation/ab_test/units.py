"""The units of an A/B test: what was randomised, one row each, from a table with any number of rows for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.ab_test.contrast import Outcome
from evaluation.ab_test.design import COUNTS, Design, Metric
from evaluation.tables import check_columns, column_names, numbers, read_table, row
from features.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Units:
    """The units that can be compared; arrays with one row for each, in the order of their entry where times are known.

    Attributes:
        variants: Names of the variants, the control first.
        variant: Index of each unit's variant; shape (units,).
        sums: Each number column summed over a unit's rows, with the counts ``rows`` and ``units``; each shape (units,).
        binary: The number columns that hold nothing but zeros and ones.
        covariates: Shape (units, k), or None.
        segments: For each segment column the value of every unit as text, None where it has several or none.
        entered: When each unit was first seen, UTC, shape (units,); or None where no time was given.
        cross_overs: How many units were left out because they were seen in several variants.
        warnings: What a reader must know of the table, one sentence each.
    """

    variants: tuple[str, ...]
    variant: NDArray[np.int64]
    sums: dict[str, NDArray[np.float64]]
    binary: frozenset[str]
    covariates: NDArray[np.float64] | None
    segments: dict[str, NDArray[np.object_]]
    entered: NDArray[np.datetime64] | None
    cross_overs: int
    warnings: tuple[str, ...]

    def kind(self, metric: Metric) -> str:
        """Return whether ``metric`` is a ``rate``, a ``mean`` or a ``ratio``."""
        if metric.denominator:
            return "ratio"
        return "rate" if metric.numerator in self.binary else "mean"

    def outcome(self, metric: Metric) -> Outcome:
        """Return what all the units did, measured by ``metric``."""
        numerator = self.sums[metric.numerator]
        if self.kind(metric) == "rate":
            numerator = (numerator > 0).astype(np.float64)
        denominator = self.sums[metric.denominator] if metric.denominator else None
        return Outcome(numerator, denominator, self.covariates)


def read(path: Path, design: Design) -> Units:
    """Return the units in the Parquet or CSV file ``path``.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it cannot be read as what its name says, or does not fit ``design`` (see ``units_of``).
    """
    _check_columns(column_names(path), design, str(path))
    return units_of(read_table(path, design.columns), design, str(path))


def units_of(frame: pd.DataFrame, design: Design, where: str = "The table") -> Units:
    """Return the units in ``frame``, which has the columns that ``design`` names and any number of rows for each unit.

    Rows without a unit or variant are left out, and so are units seen in several variants, with a warning each.
    ``where`` names the table in messages.

    Raises:
        InvalidInput: a column is missing or no number, a metric is missing or infinite, a denominator is negative,
            there are fewer than two variants, or ``design.control`` is none of them.
    """
    _check_columns(frame.columns.tolist(), design, where)
    warnings: list[str] = []
    if design.unit is None:
        warnings.append("No unit column was given: every row is taken as one independent unit.")
    frame = frame.reset_index(drop=True)
    named = pd.Series(True, index=frame.index)
    for column in filter(None, (design.unit, design.variant)):
        named &= ~_blank(frame[column])
    if not named.all():
        of = " or ".join(filter(None, (design.unit, design.variant)))
        warnings.append(f"{_count(int((~named).sum()), 'row')} without {of} left out.")
        frame = frame[named]
    names = sorted(frame[design.variant].astype(str).unique().tolist())
    if len(names) < 2:
        raise InvalidInput(
            f"{where} has {f'one variant, {names[0]!r},' if names else 'no variant'} in column {design.variant!r}; a "
            "comparison needs at least two."
        )
    control = _control(names, design, warnings, where)
    variants = (control, *(name for name in names if name != control))

    unit = np.arange(len(frame)) if design.unit is None else pd.factorize(frame[design.unit])[0].astype(np.int64)
    n_units = int(unit.max()) + 1
    variant = pd.Categorical(frame[design.variant].astype(str), categories=list(variants)).codes.astype(np.int64)
    grouped = pd.Series(variant).groupby(unit)
    first_variant, last_variant = grouped.min().to_numpy(), grouped.max().to_numpy()
    kept = first_variant == last_variant
    cross_overs = int((~kept).sum())
    if cross_overs:
        warnings.append(
            f"{_count(cross_overs, 'unit')} of {n_units} seen in several variants (cross-overs) left out; check how "
            "units are assigned."
        )

    counts = np.bincount(unit, minlength=n_units).astype(np.float64), np.ones(n_units)
    sums: dict[str, NDArray[np.float64]] = dict(zip(COUNTS, counts, strict=True))
    binary = set()
    for column in design.number_columns:
        values = _numbers(frame[column], design, where, warnings, negative_allowed=column not in design.denominators)
        if np.isin(values, (0, 1)).all():
            binary.add(column)
        sums[column] = np.asarray(np.bincount(unit, values, n_units), dtype=np.float64)

    order = np.flatnonzero(kept)
    entered = None
    if design.time:
        times = _times(frame[design.time], where)
        entered = pd.Series(times).groupby(unit).min().to_numpy().astype("datetime64[us]")
        order = order[np.argsort(entered[order], kind="stable")]
        entered = entered[order]
    covariates = [_covariate(frame[name], unit, order, where, warnings) for name in design.covariates]
    return Units(
        variants=variants,
        variant=first_variant[order],
        sums={name: values[order] for name, values in sums.items()},
        binary=frozenset(binary),
        covariates=np.column_stack(covariates) if covariates else None,
        segments={name: _segment(frame[name], unit, order, warnings) for name in design.segments},
        entered=entered,
        cross_overs=cross_overs,
        warnings=tuple(warnings),
    )


def _check_columns(names: list[str], design: Design, where: str) -> None:
    check_columns(names, design.columns, where)
    ambiguous = [name for name in design.denominators if name in COUNTS and name in names]
    if ambiguous:
        raise InvalidInput(
            f"{where} has a column {ambiguous[0]!r}, but as a denominator that word counts the table's {ambiguous[0]}; "
            "rename the column."
        )


def _control(names: list[str], design: Design, warnings: list[str], where: str) -> str:
    if design.control is not None:
        if design.control not in names:
            raise InvalidInput(f"{where} has no variant {design.control!r}; it has {', '.join(map(repr, names))}.")
        return design.control
    control = next((name for name in names if name.lower() == "control"), None)
    if control is None:
        control = names[0]
        warnings.append(f"No control was named: {control!r}, the first by name, is taken.")
    return control


def _blank(column: pd.Series[Any]) -> pd.Series[bool]:
    return column.isna() | (column.astype(str).str.strip() == "")


def _numbers(
    column: pd.Series[Any], design: Design, where: str, warnings: list[str], *, negative_allowed: bool
) -> NDArray[np.float64]:
    values = numbers(column, where)
    infinite = np.isinf(values)
    if infinite.any():
        raise InvalidInput(
            f"{where}: column {column.name!r} must be finite (first: {row(column, infinite)}). "
            f"Mend or remove {_count(int(infinite.sum()), 'row')}."
        )
    missing = np.isnan(values)
    if missing.any():
        if not design.missing_as_zero:
            raise InvalidInput(
                f"{where}: column {column.name!r} is missing in {_count(int(missing.sum()), 'row')} of {len(values)}. "
                "Where missing means that nothing happened pass --missing-as-zero; otherwise remove those rows."
            )
        warnings.append(f"{column.name}: {_count(int(missing.sum()), 'missing value')} taken as 0.")
        values = np.where(missing, 0.0, values)
    negative = values < 0
    if negative.any():
        if not negative_allowed:
            raise InvalidInput(
                f"{where}: column {column.name!r}, a denominator, must not be below 0 (first: {row(column, negative)})."
            )
        warnings.append(
            f"{column.name}: {_count(int(negative.sum()), 'negative value')} (the smallest {values.min():g}) counted "
            "as they are."
        )
    return values


def _times(column: pd.Series[Any], where: str) -> pd.Series[Any]:
    if pd.api.types.is_numeric_dtype(column):
        raise InvalidInput(f"{where}: column {column.name!r} holds numbers; give dates or times such as 2026-01-31.")
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    bad = times.isna().to_numpy()
    if bad.any():
        raise InvalidInput(
            f"{where}: column {column.name!r} must hold times such as 2026-01-31T12:00:00Z (first: {row(column, bad)})."
        )
    return times.dt.tz_localize(None).reset_index(drop=True)


def _covariate(
    column: pd.Series[Any], unit: NDArray[np.int64], order: NDArray[np.int64], where: str, warnings: list[str]
) -> NDArray[np.float64]:
    values = numbers(column, where)
    infinite = np.isinf(values)
    if infinite.any():
        raise InvalidInput(f"{where}: covariate {column.name!r} must be finite (first: {row(column, infinite)}).")
    grouped = pd.Series(values).groupby(unit)
    mean = grouped.mean().to_numpy(dtype=np.float64)
    if ((grouped.max() - grouped.min()) > 0).any():
        warnings.append(
            f"{column.name}: the covariate differs between rows of one unit and is averaged; one that the test itself "
            "can change makes the lift wrong."
        )
    mean = mean[order]
    missing = np.isnan(mean)
    if missing.all():
        raise InvalidInput(f"{where}: covariate {column.name!r} has no value; leave it out.")
    if missing.any():
        # The same number for all, whatever their variant, so the comparison stays fair.
        warnings.append(f"{column.name}: {_count(int(missing.sum()), 'unit')} without a value given the mean.")
        mean[missing] = mean[~missing].mean()
    return np.asarray(mean)


def _segment(
    column: pd.Series[Any], unit: NDArray[np.int64], order: NDArray[np.int64], warnings: list[str]
) -> NDArray[np.object_]:
    codes, names = pd.factorize(column.where(~_blank(column)).astype(object))
    grouped = pd.Series(codes).groupby(unit)
    low, high = grouped.min().to_numpy()[order], grouped.max().to_numpy()[order]
    known = (low == high) & (low >= 0)
    if not known.all():
        warnings.append(
            f"{column.name}: {_count(int((~known).sum()), 'unit')} with no or several values in no segment."
        )
    # The last label, at index -1, is that of units in no segment.
    labels = np.array([*map(str, names), None], dtype=object)
    return np.asarray(labels[np.where(known, low, -1)])


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
