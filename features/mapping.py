"""Which columns of a file are which fields of our events and items."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl
from pydantic import field_validator

from features import catalog, events
from features.errors import InvalidInput
from features.fields import NAME, Text, Time
from features.settings import Settings
from features.time_zones import TimeZone

BUILT_IN: Final = Path(__file__).parent / "mappings"


class _Mapping(Settings):
    columns: dict[str, str | tuple[str, ...]] = {}
    """Our field = their column, or several columns, joined by ``, ``. A field that is not named takes the column of its
    own name, if the file has one."""
    constants: dict[str, str | float | bool] = {}
    """Our field = the value that it has in every row."""
    time_zone: TimeZone = "UTC"
    """The zone of times that carry no offset."""
    time_format: str | None = None
    """How times are written, as ``%d/%m/%Y %H:%M``, ``epoch_s`` or ``epoch_ms``; ISO 8601 where not given."""
    delimiter: str = ","
    """What divides the cells of a CSV file."""

    @field_validator("time_format")
    @classmethod
    def _is_a_format(cls, time_format: str | None) -> str | None:
        try:
            Time(time_format).column(pl.Series([""]))
        except pl.exceptions.PolarsError as error:
            raise ValueError(str(error).partition("\n")[0]) from None
        return time_format

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ValueError("must be one character, such as , or ;")
        return delimiter


class EventMapping(_Mapping):
    """How the rows of a file become events."""

    context: dict[str, str] = {}
    """Name in the event's context = their column."""
    unit_price: str | None = None
    """Their column with the price of one piece; ``value`` is then quantity times price."""

    @field_validator("columns", "constants")
    @classmethod
    def _are_fields(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _known(given, events.FIELDS)

    @field_validator("context")
    @classmethod
    def _are_names(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if not Text(64, NAME).allows(name):
                raise ValueError(f"{name!r} {Text(64, NAME).reason}")
        return given


class ItemMapping(_Mapping):
    """How the rows of a file become items."""

    dimensions: dict[str, str] | None = None
    """Dimension = their column; where not given, every column that is not otherwise used is a dimension."""
    list_separator: str = "|"
    """What divides several values of a dimension in one cell."""
    title_case: bool = False
    """Write titles that are all in capitals like this: Potato Chips, 16 oz."""
    most_frequent: bool = False
    """The file has many rows for an item (order lines): keep what most of them say. Otherwise the last one holds."""

    @field_validator("columns", "constants")
    @classmethod
    def _are_fields(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _known(given, catalog.FIELDS)

    @field_validator("dimensions")
    @classmethod
    def _are_names(cls, given: dict[str, str] | None) -> dict[str, str] | None:
        if problem := catalog.problem_of_dimensions(given or ()):
            raise ValueError(problem)
        return given


class Mappings(Settings):
    """A mapping file: how rows become events, and how they become items."""

    events: EventMapping = EventMapping()
    """The table ``[events]``."""
    items: ItemMapping = ItemMapping()
    """The table ``[items]``."""


def with_options(mapping: _Mapping, maps: list[str], constants: list[str]) -> Any:
    """Return ``mapping`` with command-line options ``ours=theirs`` and ``ours=value`` added to it.

    ``context.NAME`` and ``dimensions.NAME`` are ours too, and so are the other keys of a mapping: ``time_zone``.

    Raises:
        InvalidInput: an option has no ``=``, or what it names does not exist.
    """
    values: dict[str, Any] = mapping.model_dump(exclude_unset=True)
    for option, table, given in [("--map", "columns", maps), ("--set", "constants", constants)]:
        for text in given:
            ours, equals, theirs = text.partition("=")
            if not equals or not ours or not theirs:
                raise InvalidInput(f"{option} {text!r} must be like {option} ours=theirs.")
            group, dot, name = ours.partition(".")
            if dot:
                values.setdefault(group, {})[name] = theirs
            elif ours in type(mapping).model_fields and ours not in events.FIELDS:
                values[ours] = theirs
            else:
                values.setdefault(table, {})[ours] = theirs
    return type(mapping).of(values, "The mapping given with --map and --set")


def _known(given: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in fields:
            raise ValueError(f"there is no field {name!r}; there are {', '.join(fields)}")
    return given
