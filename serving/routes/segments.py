"""Segments: named conditions on visitors."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from features.database import open_database
from features.fields import NAME
from features.layout import Layout
from features.predicates import predicate
from features.profile_store import Person, SQLiteProfileStore
from features.segments import Size, size
from serving.routes.parts import answered, assembly
from serving.visitors import Values, Visitors, values_without_bundle
from serving.wire import segments as wire

router = APIRouter()

Name = Annotated[str, Path(pattern=f"^{NAME}$", max_length=64)]


@router.get("/v1/segments", response_model=wire.SegmentList)
async def segments(request: Request) -> Response:
    """Return the segments of the shop."""
    known = assembly(request).segments.current().predicates
    return answered(
        wire.SegmentList(segments=[wire.Segment(name=name, expression=one.expression) for name, one in known.items()])
    )


@router.get("/v1/segments/{name}", response_model=wire.SizedSegment)
async def segment(request: Request, name: Name) -> Response:
    """Return a segment, with how many people belong to it and some of them."""
    return await _sized(request, name, assembly(request).segments.current()[name].expression)


@router.put("/v1/segments/{name}", response_model=wire.SizedSegment)
async def put_segment(request: Request, name: Name, body: wire.Condition) -> Response:
    """Define a segment, for all workers from the next request on."""
    parts, now = assembly(request), assembly(request).moment()
    predicate(body.expression)
    version = hashlib.sha256(body.expression.encode(errors="surrogatepass")).hexdigest()[:16]
    await parts.writer.committed(lambda: parts.segments.put(name, version, body.model_dump(), now))
    return await _sized(request, name, body.expression)


@router.delete("/v1/segments/{name}", status_code=204)
async def delete_segment(request: Request, name: Name) -> Response:
    """Withdraw a segment that was put in place; one of the file of that name counts again."""
    parts, now = assembly(request), assembly(request).moment()
    await parts.writer.committed(lambda: parts.segments.withdraw(name, now))
    return Response(status_code=204)


@router.post("/v1/segments/size", response_model=wire.SegmentSize)
async def segment_size(request: Request, body: wire.Condition) -> Response:
    """Return how many people a condition holds for, and some of them; of very many people it looks at 5,000."""
    return answered(await _size(request, body.expression))


async def _sized(request: Request, name: str, expression: str) -> Response:
    return answered(wire.SizedSegment(name=name, expression=expression, size=await _size(request, expression)))


async def _size(request: Request, expression: str) -> wire.SegmentSize:
    parts = assembly(request)
    condition, known, now, (rng,) = predicate(expression), parts.segments.current(), parts.moment(), parts.rng.spawn(1)

    def counted() -> Size:  # it takes a while, and so reads by itself, in a thread
        with closing(open_database(Layout(parts.settings.var).database)) as database:
            store = SQLiteProfileStore(database)
            bundle = parts.champion.served().pipeline.bundle if parts.champion.ready else None
            visitors = None if bundle is None else Visitors(bundle, store, known)

            def values_of(person: Person) -> Values:
                return visitors.values(person, now) if visitors else values_without_bundle(person, {}, now, known)

            return size(condition, store, values_of, rng)

    found = await run_in_threadpool(counted)
    return wire.SegmentSize(
        people=found.people,
        low=found.low,
        high=found.high,
        sampled=found.sampled,
        of=found.of,
        samples=list(found.samples),
    )
