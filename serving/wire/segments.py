"""Segments."""

from __future__ import annotations

from pydantic import Field

from serving.wire.messages import Answer, Request


class Condition(Request):
    """A condition on visitors, in SQL."""

    expression: str = Field(
        min_length=1, max_length=2_000, examples=["visits_7d >= 2 AND affinity('category', 'Shoes') > 0.6"]
    )


class SegmentSize(Answer):
    """How many people a condition holds for."""

    people: int = Field(description="An estimate where not everybody was looked at.")
    low: int = Field(description="The lower end of its 95 % interval.")
    high: int = Field(description="The upper end.")
    sampled: int = Field(description="How many people were looked at.")
    of: int = Field(description="How many people there are.")
    samples: list[str] = Field(description="Some of whom it holds for.")


class Segment(Answer):
    """A named condition on visitors."""

    name: str
    expression: str


class SizedSegment(Segment):
    """A segment, with how many people belong to it."""

    size: SegmentSize


class SegmentList(Answer):
    """The segments of the shop."""

    segments: list[Segment]
