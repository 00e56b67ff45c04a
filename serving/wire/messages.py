"""What all requests and answers have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]


class Request(BaseModel):
    """What every request has in common: no unknown fields, and no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """What every answer has in common: a field that has no value is left out."""

    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """What was wrong."""

    code: str = Field(examples=["invalid_input"])
    message: str = Field(description="What was given, what is allowed, and what to do.")
    field: str | None = Field(default=None, description="The field of the request at fault.")


class ProblemAnswer(Answer):
    """Any answer that is not a success."""

    error: Problem


def problem(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """Return the body of an answer that is not a success."""
    shown = Problem(code=code, message=printable(message), field=None if field is None else printable(field))
    return ProblemAnswer(error=shown).model_dump(exclude_none=True)


def printable(text: str) -> str:
    """Return ``text`` as UTF-8 can write it: what was given may hold half of a surrogate pair."""
    return text.encode(errors="replace").decode()
