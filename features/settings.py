"""The base of every configuration object."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import InvalidInput, NotFound


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
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}"
                f" (given {problem['input']!r})"
                for problem in error.errors(include_url=False)
            )
            allowed = ", ".join(cls.model_fields)
            raise InvalidInput(f"{where}: {problems}. Allowed keys: {allowed}.") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the configuration in the TOML file ``path``.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it is not TOML, or does not fit.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound(f"There is no file {path}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} is not valid TOML: {error}.") from None
        return cls.of(values, str(path))
