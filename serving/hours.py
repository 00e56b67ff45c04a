"""Hours of the day, as campaigns and quiet hours give them."""

from __future__ import annotations

from datetime import time
from typing import Annotated

from pydantic import AfterValidator


def _checked(hours: tuple[time, time]) -> tuple[time, time]:
    if hours[0] == hours[1]:
        raise ValueError("must not begin and end at the same time")
    return hours


Hours = Annotated[tuple[time, time], AfterValidator(_checked)]
"""From the first time of the day until the second, which may lie on the next day."""


def lies_in(clock: time, hours: Hours) -> bool:
    """Return whether the time of the day ``clock`` lies in ``hours``."""
    first, end = hours
    return first <= clock < end if first < end else clock >= first or clock < end
