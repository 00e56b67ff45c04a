"""What a field may hold: each kind of field checks one value of a request, or a whole column of a file.

Both ways of checking stand side by side and accept the same values; a column may moreover come in the types that files
have, which are converted first: whole numbers where text is due (codes), and text where numbers, times or flags are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, ClassVar, Final, Protocol, TypeVar

import polars as pl

Given = pl.Series | Sequence[Any]
"""A column as it was read; a list where its values are of several types."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Rejected(ValueError):
    """A value is not allowed; the message says what is."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A column after checking, of n rows.

    Attributes:
        values: The values, null where missing or rejected.
        reasons: Text; why a value was rejected, null where it is good. None where all are.
    """

    values: pl.Series
    reasons: pl.Series | None = None


class Field(Protocol[T_co]):
    """A kind of field."""

    def value(self, given: object) -> T_co:
        """Return ``given`` in our type.

        Raises:
            Rejected: it is not allowed.
        """

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column in our type; ``time_zone`` is that of times without an offset (None rejects them)."""


CONTROL: Final = r"[\x00-\x1f\x7f-\x9f]"
"""Control characters, as a regular expression."""
_CONTROL = re.compile(CONTROL)
_compiled = cache(re.compile)  # re's own memory of patterns costs as much as matching a short text


@dataclass(frozen=True, slots=True)
class Text:
    """Text of 1 to ``max_bytes`` bytes of UTF-8, without control characters unless ``multiline``."""

    max_bytes: int = 128
    pattern: str | None = None
    multiline: bool = False

    @property
    def reason(self) -> str:
        """What is allowed."""
        if self.pattern:
            return f"must be 1 to {self.max_bytes} characters that match {self.pattern}"
        return f"must be text of 1 to {self.max_bytes} bytes" + (
            "" if self.multiline else " without control characters"
        )

    def value(self, given: object) -> str:
        """Return ``given`` if it is such a text."""
        if isinstance(given, str):
            try:
                size = len(given) if given.isascii() else len(given.encode())
            except UnicodeEncodeError:  # half of a surrogate pair
                size = 0
            if 1 <= size <= self.max_bytes and self._may_hold(given):
                return given
        raise Rejected(self.reason)

    def allows(self, given: object) -> bool:
        """Return whether ``given`` is such a text."""
        try:
            self.value(given)
        except Rejected:
            return False
        return True

    def _may_hold(self, text: str) -> bool:
        if self.pattern:
            return _compiled(self.pattern).fullmatch(text) is not None
        return self.multiline or text.isprintable() or _CONTROL.search(text) is None

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column as text; whole numbers become their digits."""
        if not isinstance(given, pl.Series):
            return _one_by_one(lambda one: self.value(_digits(one)), given, pl.String())
        text, reasons = given, None
        if given.dtype.is_float():
            whole = given.is_finite() & (given == given.floor()) & (given.abs() < 2**53)
            text = _null_where(given, ~whole).cast(pl.Int64).cast(pl.String)
        elif given.dtype.is_integer() or given.dtype in (pl.Categorical, pl.Enum, pl.Null):
            text = given.cast(pl.String)
        elif given.dtype != pl.String:
            text = pl.Series(given.name, [None] * len(given), dtype=pl.String)
        size = text.str.len_bytes()
        good = (size >= 1) & (size <= self.max_bytes)
        if self.pattern:
            good &= text.str.contains(f"^(?:{self.pattern})$")
        elif not self.multiline:
            good &= ~text.str.contains(CONTROL)
        bad = given.is_not_null() & ~good.fill_null(False)
        if bad.any():
            reasons, text = _reasons([(bad, self.reason)]), _null_where(text, bad)
        return Checked(text, reasons)


def _digits(given: object) -> object:
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if isinstance(given, float) and given.is_integer() and abs(given) < 2**53:
        return str(int(given))
    return given


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from ``minimum`` to ``maximum``."""

    minimum: float = -1e12
    maximum: float = 1e12

    @property
    def reason(self) -> str:
        """What is allowed."""
        return f"must be a number from {self.minimum:g} to {self.maximum:g}"

    def value(self, given: object) -> float:
        """Return ``given`` if it is such a number."""
        if isinstance(given, int | float) and not isinstance(given, bool) and self.minimum <= given <= self.maximum:
            return float(given) + 0.0  # -0.0 becomes 0.0
        raise Rejected(self.reason)

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column as float64; text is read as a number."""
        if not isinstance(given, pl.Series):
            return _one_by_one(self.value, given, pl.Float64())
        if given.dtype.is_numeric() or given.dtype in (pl.String, pl.Null):
            number = given.cast(pl.Float64, strict=False)
        else:
            number = pl.Series(given.name, [None] * len(given), dtype=pl.Float64)
        good = (number >= self.minimum) & (number <= self.maximum) & number.is_not_nan()
        bad = given.is_not_null() & ~good.fill_null(False)
        if bad.any():
            return Checked(_null_where(number, bad) + 0.0, _reasons([(bad, self.reason)]))
        return Checked(number + 0.0)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    reason: ClassVar = "must be true or false"

    def value(self, given: object) -> bool:
        """Return ``given`` if it is true or false."""
        if isinstance(given, bool):
            return given
        raise Rejected(self.reason)

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column as booleans; the texts true, false, 1 and 0 are read as such."""
        if not isinstance(given, pl.Series):
            return _one_by_one(self.value, given, pl.Boolean())
        if given.dtype == pl.Boolean:
            return Checked(given)
        words = given.cast(pl.String, strict=False).str.to_lowercase()
        flag = words.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None).cast(
            pl.Boolean
        )
        bad = given.is_not_null() & flag.is_null()
        return Checked(flag, _reasons([(bad, self.reason)]) if bad.any() else None)


@dataclass(frozen=True, slots=True)
class Time:
    """A moment from 1970 on, as RFC 3339 writes it; becomes aware UTC, of microseconds.

    A file may write it in another ``format``: that of ``strptime``, or the seconds or milliseconds since 1970
    (``epoch_s``, ``epoch_ms``).
    """

    format: str | None = None

    FORMAT: ClassVar = "must be a time such as 2026-11-21T09:30:00Z"
    NAIVE: ClassVar = "must end with its offset from UTC, such as Z or +01:00"
    EARLY: ClassVar = "must not be before 1970"
    SKIPPED: ClassVar = "does not exist in the time zone of the file"

    def value(self, given: object) -> datetime:
        """Return ``given``, a text or an aware datetime."""
        if isinstance(given, str):
            given = _parse_time(given)
        if not isinstance(given, datetime):
            raise Rejected(self.FORMAT)
        if given.tzinfo is None:
            raise Rejected(self.NAIVE)
        if given < EPOCH:
            raise Rejected(self.EARLY)
        try:
            return given.astimezone(UTC)
        except OverflowError:  # the year 10000
            raise Rejected(self.FORMAT) from None

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column as microseconds in UTC; text is read as such times, a date as its midnight."""
        since_1970 = self.format in ("epoch_s", "epoch_ms")
        number = Number(-1e14, 1e14).column(given).values if since_1970 else None
        if not isinstance(given, pl.Series):
            texts = (one if isinstance(one, str) and one.isascii() else None if one is None else "?" for one in given)
            given = pl.Series(texts, dtype=pl.String)
        if number is not None:
            since = (number * (1_000_000 if self.format == "epoch_s" else 1_000)).cast(pl.Int64)
            moment, naive = since.cast(MOMENT), pl.Series([], dtype=pl.Datetime("us"))
        elif self.format and given.dtype == pl.String:
            read = given.str.to_datetime(self.format, time_unit="us", strict=False)
            aware = isinstance(read.dtype, pl.Datetime) and read.dtype.time_zone is not None
            moment = read.dt.convert_time_zone("UTC") if aware else pl.Series([None] * len(given), dtype=MOMENT)
            naive = pl.Series([], dtype=pl.Datetime("us")) if aware else read
        elif given.dtype == pl.String:
            moment, naive = _parse_times(given)
        elif isinstance(given.dtype, pl.Datetime) and given.dtype.time_zone:
            moment, naive = given.dt.cast_time_unit("us").dt.convert_time_zone("UTC"), pl.Series([], dtype=MOMENT)
        elif given.dtype in (pl.Datetime, pl.Date):
            moment, naive = pl.Series([None] * len(given), dtype=MOMENT), given.cast(pl.Datetime("us"))
        else:
            moment, naive = pl.Series([None] * len(given), dtype=MOMENT), pl.Series([], dtype=pl.Datetime("us"))
        problems: list[tuple[pl.Series, str]] = []
        if len(naive):
            if time_zone is None:
                problems.append((naive.is_not_null(), self.NAIVE))
            else:
                placed = naive.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
                problems.append((naive.is_not_null() & placed.is_null(), self.SKIPPED))
                moment = moment.fill_null(placed.dt.convert_time_zone("UTC")) if moment.null_count() else moment
            problems.append((given.is_not_null() & moment.is_null() & naive.is_null(), self.FORMAT))
        elif moment.null_count() != given.null_count():
            problems.append((given.is_not_null() & moment.is_null(), self.FORMAT))
        problems.append(((moment < EPOCH).fill_null(False), self.EARLY))
        problems.append(((moment > datetime.max.replace(tzinfo=UTC)).fill_null(False), self.FORMAT))
        reasons = _reasons([(bad, reason) for bad, reason in problems if bad.any()])
        return Checked(moment if reasons is None else _null_where(moment, reasons.is_not_null()), reasons)


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT: Final = pl.Datetime("us", "UTC")


def microseconds(moment: datetime) -> int:
    """Return an aware ``moment`` as whole microseconds since 1970; a float of seconds would lose some."""
    return (moment - EPOCH) // timedelta(microseconds=1)


_TIME = (
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<clock>(?:[01][0-9]|2[0-3]):[0-5][0-9])(?P<seconds>:[0-5][0-9])?(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<offset>[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?)?"
)


def _parse_time(text: str) -> datetime | None:
    """Return the time that ``text`` gives, naive where it has no offset; None where it is no time."""
    found = re.fullmatch(_TIME, text)
    if found is None or (found["fraction"] and not found["seconds"]):
        return None
    fraction = (found["fraction"] or "0").ljust(6, "0")[:6]
    try:
        moment = datetime.fromisoformat(
            f"{found['date']}T{found['clock'] or '00:00'}{found['seconds'] or ':00'}.{fraction}"
        )
    except ValueError:
        return None
    offset = found["offset"]
    if offset is None:
        return moment
    if offset in "Zz":
        return moment.replace(tzinfo=UTC)
    sign = -1 if offset[0] == "-" else 1
    return moment.replace(tzinfo=timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))))


def _parse_times(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the times in UTC of the texts that have an offset, and the naive times of the others; null elsewhere."""
    parts = texts.str.extract_groups(f"^{_TIME}$").struct.unnest()
    bare = parts["fraction"].is_not_null() & parts["seconds"].is_null()
    clock = parts["clock"].fill_null("00:00") + parts["seconds"].fill_null(":00")
    whole = _null_where(parts["date"] + "T" + clock, bare)
    day = whole.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    day = _null_where(day, day.dt.year() < 1)  # the year 0 is not one of Python's
    fraction = parts["fraction"].fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    local = day + fraction.cast(pl.Duration("us"))
    offset = parts["offset"]
    naive = _null_where(local, offset.is_not_null())
    numeric = offset.str.to_uppercase().str.replace("Z", "+00:00", literal=True)
    minutes = numeric.str.slice(1, 2).cast(pl.Int64) * 60 + numeric.str.slice(4, 2).cast(pl.Int64)
    minutes = minutes * numeric.str.starts_with("-").replace_strict({True: -1, False: 1}, return_dtype=pl.Int64)
    moment = (local - (minutes * 60_000_000).cast(pl.Duration("us"))).dt.replace_time_zone("UTC")
    return moment, naive if naive.null_count() < len(naive) else naive.clear()


NAME: Final = "[a-z][a-z0-9_]*"
"""What names look like: of event types, of dimensions, of context."""
LEVEL: Final = " > "
"""What stands between the levels of a hierarchy."""
Scalar = str | float | bool
CHECKS_REMEMBERED: Final = 100_000
"""So many different attributes of a batch are checked once for all."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """At most 32 named texts, numbers and flags."""

    reason: ClassVar = (
        "must be an object of at most 32 names ([a-z][a-z0-9_]*, 64 characters at most) and values"
        " (text of at most 1024 bytes without control characters, finite numbers, true, false)"
    )
    name: ClassVar = Text(64, NAME)
    text: ClassVar = Text(1024)
    number: ClassVar = Number(-1e300, 1e300)

    def value(self, given: object) -> dict[str, Scalar]:
        """Return ``given`` if it is such an object."""
        if not isinstance(given, dict) or len(given) > 32:
            raise Rejected(self.reason)
        try:
            return {self.name.value(name): self._scalar(given[name]) for name in sorted(given)}
        except (Rejected, TypeError):
            raise Rejected(self.reason) from None

    def _scalar(self, given: object) -> Scalar:
        if isinstance(given, bool):
            return given
        return self.number.value(given) if isinstance(given, int | float) else self.text.value(given)

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column as JSON text; text is read as JSON."""
        # visitors differ less in where they are than in what they do: what is alike is checked once
        if isinstance(given, pl.Series) and _is_flat(given.dtype):
            different = given.unique()
            checked = _one_by_one(self._text, list(different), pl.String())
            known = pl.DataFrame([different.alias("given"), checked.values.alias("values")])
            if checked.reasons is not None:
                known = known.with_columns(reasons=checked.reasons)
            each = pl.DataFrame([given.alias("given")]).join(
                known, on="given", how="left", nulls_equal=True, maintain_order="left"
            )
            return Checked(each["values"], each["reasons"] if checked.reasons is not None else None)
        remembered: dict[Any, str | Rejected] = {}
        return _one_by_one(lambda one: _once(remembered, one, self._text), list(given), pl.String())

    def _text(self, given: object) -> str:
        return as_json(self.value(_object(given)))


@dataclass(frozen=True, slots=True)
class Labels:
    """At most 64 different texts of at most 256 bytes each, without control characters.

    A text such as ``Home > Lamps > Table lamps`` is a place in a hierarchy, and is preceded by the places above it:
    what is a table lamp is a lamp as well, whoever asks.
    """

    reason: ClassVar = "must be at most 64 texts of 1 to 256 bytes each without control characters"
    separator: str | None = None
    """What divides the texts where a file has them in one cell."""
    text: ClassVar = Text(256)

    def value(self, given: object) -> list[str]:
        """Return ``given``, a list or a single text, each text once."""
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or len(texts) > 64:
            raise Rejected(self.reason)
        try:
            checked = [self.text.value(one) for one in texts if one is not None]
        except Rejected:
            raise Rejected(self.reason) from None
        found = list(dict.fromkeys(one for text in checked for one in _with_those_above(text)))
        if len(found) > 64:
            raise Rejected(f"{self.reason}, the levels above {LEVEL!r} included")
        return found

    def column(self, given: Given, time_zone: str | None = None) -> Checked:
        """Return the column as lists of text; whole numbers become their digits."""
        if isinstance(given, pl.Series) and not given.dtype.is_nested():
            signs = [LEVEL, *([self.separator] if self.separator else [])]
            divided = given.dtype == pl.String and given.str.contains_any(signs).any()
            if not divided:
                single = self.text.column(given)
                lists = pl.select(pl.when(single.values.is_not_null()).then(pl.concat_list(single.values))).to_series()
                return Checked(
                    lists,
                    _reasons([(single.reasons.is_not_null(), self.reason)]) if single.reasons is not None else None,
                )
        return _one_by_one(lambda one: self.value(self._divided(one)), list(given), pl.List(pl.String()))

    def _divided(self, given: object) -> object:
        if isinstance(given, str) and self.separator:
            return [part.strip() for part in given.split(self.separator) if part.strip()]
        if isinstance(given, pl.Series):
            given = given.to_list()
        return [_digits(one) for one in given] if isinstance(given, list) else _digits(given)


def _with_those_above(text: str) -> list[str]:
    levels = text.split(LEVEL)
    if not all(level.strip() for level in levels):
        return [text]
    return [LEVEL.join(levels[:depth]) for depth in range(1, len(levels) + 1)]


def _is_flat(kind: pl.DataType) -> bool:
    return kind == pl.String or (isinstance(kind, pl.Struct) and not any(one.dtype.is_nested() for one in kind.fields))


def _object(given: object) -> object:
    if isinstance(given, str):
        try:
            return json.loads(given)
        except ValueError:
            return given
    if isinstance(given, dict):  # a struct column has all names in every row
        return {name: value for name, value in given.items() if value is not None}
    return given


def _once(known: dict[Any, str | Rejected], given: Any, check: Callable[[Any], str]) -> str:
    """Return ``check(given)``, from ``known`` where an equal one has been checked already."""
    # 1, 1.0 and True are equal, and not the same
    key = (*given, *given.values(), *map(type, given.values())) if isinstance(given, dict) else given
    try:
        found = known.get(key)
    except TypeError:  # it holds a list
        return check(given)
    if found is None:
        try:
            found = check(given)
        except Rejected as rejected:
            found = rejected
        if len(known) < CHECKS_REMEMBERED:
            known[key] = found
    if isinstance(found, Rejected):
        raise found
    return found


def as_json(values: dict[str, Any]) -> str:
    """Return the one JSON text for ``values``: names in order, no blanks."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _one_by_one(value: Callable[[Any], Any], given: Sequence[Any], dtype: pl.DataType) -> Checked:
    values: list[Any] = []
    reasons: list[str | None] = []
    for one in given:
        try:
            values.append(None if one is None else value(one))
            reasons.append(None)
        except Rejected as rejected:
            values.append(None)
            reasons.append(str(rejected))
    return Checked(pl.Series(values, dtype=dtype), pl.Series(reasons, dtype=pl.String) if any(reasons) else None)


def _null_where(values: pl.Series, bad: pl.Series) -> pl.Series:
    return pl.select(pl.when(bad.fill_null(False)).then(None).otherwise(values)).to_series()


def _reasons(problems: list[tuple[pl.Series, str]]) -> pl.Series | None:
    """Return the reason of the first problem that each row has."""
    if not problems:
        return None
    reasons = pl.Series([None] * len(problems[0][0]), dtype=pl.String)
    for bad, reason in reversed(problems):
        reasons = pl.select(pl.when(bad).then(pl.lit(reason)).otherwise(reasons)).to_series()
    return reasons
