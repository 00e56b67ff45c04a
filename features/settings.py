"""The base of every configuration object."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from features.errors import InvalidInput, NotFound

MOST_SHOWN: Final = 80
"""So many characters of what was given are shown."""


class Settings(BaseModel):
    """A frozen, validated configuration; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Self:
        """Return the configuration that ``values`` describe.

        ``where`` names their origin in the message.

        Raises:
            InvalidInput: a key is unknown or a value is out of its range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            found = error.errors(include_url=False)
            unknown = any(len(problem["loc"]) == 1 and problem["type"] == "extra_forbidden" for problem in found)
            allowed = f" Allowed keys: {', '.join(cls.model_fields)}." if unknown else ""
            raise InvalidInput(f"{where}: {'; '.join(map(_sentence, found))}.{allowed}") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the configuration in the TOML file ``path``.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it cannot be read, is not TOML, or does not fit.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound(f"There is no file {path}.") from None
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} is not valid TOML: {error}.") from None
        return cls.of(values, str(path))


def _sentence(problem: ErrorDetails) -> str:
    """Return what is wrong with one key, or with all of them together."""
    said = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return said
    given = repr(problem["input"])
    shown = given if len(given) <= MOST_SHOWN else f"{given[:MOST_SHOWN]}..."
    return f"{'.'.join(map(str, problem['loc']))}: {said} (given {shown})"
