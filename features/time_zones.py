"""Time zones, by their names in the IANA database."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator


def zone_of(name: str) -> ZoneInfo | None:
    """Return the time zone ``name``, or None where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # OSError: the name of a folder of zones, such as Europe
        return None


def _known(name: str) -> str:
    if zone_of(name) is None:
        raise ValueError("no such time zone; allowed are names like UTC and Europe/London")
    return name


TimeZone = Annotated[str, AfterValidator(_known)]
"""The name of a time zone in a configuration."""
