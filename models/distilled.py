"""A small blend beside a large one, for requests that must not wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from models.blend import Blend


@dataclass(frozen=True)
class Distilled(Blend):
    """Scores like the blend that is served beside it, by few of its parts, fewer candidates and fewer trees."""

    name: ClassVar[str] = "distilled"
