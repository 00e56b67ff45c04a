from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, model_validator

from features.errors import InvalidInput, NotFound
from features.settings import Settings


class Lamp(Settings):
    """A lamp."""

    watts: int = Field(default=5, ge=1)
    colours: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_lit(self) -> Lamp:
        if self.watts > 1 and len(self.colours) > 1:
            raise ValueError("a strong lamp has one colour")
        return self


def refused(values: dict[str, object]) -> str:
    with pytest.raises(InvalidInput) as error:
        Lamp.of(values, "lamp.toml")
    return str(error.value)


def test_a_value_out_of_range_is_told_with_what_was_given() -> None:
    said = "lamp.toml: watts: Input should be greater than or equal to 1 (given 0)."
    assert refused({"watts": 0}) == said


def test_an_unknown_key_is_told_with_those_there_are() -> None:
    assert refused({"watt": 5}).endswith("(given 5). Allowed keys: watts, colours.")


def test_keys_that_do_not_go_together_are_told_without_repeating_them_all() -> None:
    assert refused({"colours": ["red", "blue"]}) == "lamp.toml: a strong lamp has one colour."


def test_of_something_long_only_the_beginning_is_shown() -> None:
    assert len(refused({"watts": "x" * 10_000})) < 250


def test_a_file_that_is_missing_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        Lamp.read(tmp_path / "lamp.toml")
    for content in (b"watts = ", b"\xff"):
        (tmp_path / "lamp.toml").write_bytes(content)
        with pytest.raises(InvalidInput, match="is not valid TOML"):
            Lamp.read(tmp_path / "lamp.toml")
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        Lamp.read(tmp_path)
