"""What visitors do."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.ingestion import delivery
from serving.routes.parts import answered, assembly
from serving.wire import events as wire
from serving.wire.messages import printable

router = APIRouter()


@router.post("/v1/events", response_model=wire.EventsAnswer, openapi_extra=wire.EVENTS_BODY)
async def events(request: Request) -> Response:
    """Take in what visitors did: one event or up to 1,000, as JSON, or as the text/plain of a beacon.

    What is acknowledged is durable, and the next ranking of the visitor knows of it. The good events of a batch are
    kept; the bad ones come back with their index, field and reason. A single event that is bad is answered with 400.
    """
    parts = assembly(request)
    given = delivery(await request.body(), parts.moment(), parts.new_id)
    if given.single and given.rejected:
        raise given.rejected[0][1]
    rejected = [
        wire.RejectedEvent(index=index, field=printable(error.field), reason=printable(error.reason))
        for index, error in given.rejected
    ]
    if not given.events:
        return answered(wire.EventsAnswer(accepted=0, repeated=0, rejected=rejected))
    appended = await parts.writer.committed(lambda: parts.events.append(given.events), len(given.events))
    return answered(
        wire.EventsAnswer(
            accepted=appended.new,
            repeated=appended.repeated,
            rejected=rejected,
            profile_version=appended.version or None,
        )
    )
