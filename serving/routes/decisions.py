"""Decisions: what to show somebody in a zone, and the campaigns and experiments that say so."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Path, Request
from fastapi.responses import Response

from features.definitions import Definition
from serving.answers import rankings as ranking_answers
from serving.campaigns import Campaign
from serving.decisions import values_of
from serving.experiments import Experiment
from serving.filters import Rules
from serving.programme import CAMPAIGN, EXPERIMENT, Asked, Plan
from serving.routes.parts import answered, assembly, serving
from serving.routes.rankings import logged_answer
from serving.visitors import values_without_bundle
from serving.wire import decisions as wire
from serving.wire.messages import Id
from serving.wire.rankings import RankingAnswer, RecommendRequest

router = APIRouter()

Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Lower case, digits, - and _.")]


@router.post("/v1/decide", response_model=wire.DecisionAnswer)
async def decide(request: Request, body: wire.DecideRequest) -> Response:
    """Return what to show to a visitor in a zone; the decision is durable before it is answered.

    Send an ``impression`` event that names the ``decision_id`` when it is shown (or, for a holdout, would have been):
    what nobody has seen does not count.
    """
    parts, now = assembly(request), assembly(request).moment()
    if parts.champion.ready:
        visitor = serving(request).visitors.visitor(body.user_id, now, body.context)
        identities, values = visitor.identities, visitor.values
    else:
        person = parts.profiles.person(body.user_id)
        identities, values = (
            person.identities,
            values_without_bundle(person, body.context, now, parts.segments.current()),
        )
    asked = Asked(
        user_id=body.user_id,
        zone=body.zone,
        values=values,
        now=now,
        user_ids=identities or (body.user_id,),
        variants=body.variants,
        explain=body.explain,
    )
    plan = await parts.decisions.decided(asked, lambda item_id: _unavailable(request, item_id))
    return answered(_answer(request, body, plan))


@router.get("/v1/decisions/{decision_id}", response_model=wire.LoggedDecision)
async def decision(request: Request, decision_id: Id) -> Response:
    """Return a decision as it is on record."""
    found = assembly(request).decisions.decision(decision_id)
    names = wire.LoggedDecision.model_fields
    return answered(wire.LoggedDecision(**{name: getattr(found, name) for name in names}))


def _define_routes(kind: str, plural: str, schema: type[Campaign] | type[Experiment]) -> None:
    """Add the routes by which definitions of a kind are read, put and withdrawn."""

    @router.get(f"/v1/{plural}", response_model=wire.DefinitionList, name=f"list {plural}")
    async def list_all(request: Request) -> Response:
        found = assembly(request).decisions.definitions(kind)
        return answered(wire.DefinitionList(definitions=[_defined(one) for one in found]))

    @router.get(f"/v1/{plural}/{{name}}", response_model=wire.DefinitionAnswer, name=f"get {kind}")
    async def get(request: Request, name: Name) -> Response:
        return answered(_defined(assembly(request).decisions.definition(kind, name)))

    @router.put(
        f"/v1/{plural}/{{name}}",
        response_model=wire.DefinitionAnswer,
        name=f"put {kind}",
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"title": schema.__name__}}}}},
    )
    async def put(request: Request, name: Name, body: Annotated[dict[str, Any], Body()]) -> Response:
        parts = assembly(request)
        return answered(_defined(await parts.decisions.define(kind, name, body, parts.moment())))

    @router.delete(f"/v1/{plural}/{{name}}", status_code=204, name=f"withdraw {kind}")
    async def withdraw(request: Request, name: Name) -> Response:
        parts = assembly(request)
        await parts.decisions.define(kind, name, None, parts.moment())
        return Response(status_code=204)

    list_all.__doc__ = f"Return the {plural} that hold."
    get.__doc__ = f"Return the {kind} as it holds."
    put.__doc__ = f"Define the {kind}, for all workers from the next request on; what was decided before stays."
    withdraw.__doc__ = f"Withdraw the {kind}; what was decided stays on record."


_define_routes(CAMPAIGN, "campaigns", Campaign)
_define_routes(EXPERIMENT, "experiments", Experiment)


def _defined(definition: Definition) -> wire.DefinitionAnswer:
    return wire.DefinitionAnswer(
        name=definition.name,
        version=definition.version,
        origin=definition.origin,
        definition=values_of(definition),
    )


def _answer(request: Request, body: wire.DecideRequest, plan: Plan) -> wire.DecisionAnswer:
    decision = plan.decision
    not_chosen = None
    if body.explain:
        not_chosen = [
            wire.PassedOver(campaign=one.campaign, experience=one.experience, reason=one.reason)
            for one in plan.passed_over
        ]
    if decision is None:
        return wire.DecisionAnswer(zone=body.zone, not_chosen=not_chosen)
    shown = None
    if plan.campaign is not None and decision.experience is not None:
        shown = plan.campaign.experiences[decision.experience]
    ranking = None
    if shown is not None and shown.recipe is not None:
        served, parts, now = serving(request), assembly(request), assembly(request).moment()
        wanted = RecommendRequest(user_id=body.user_id, n=body.n, recipe=shown.recipe, context=body.context)
        visitor = served.visitors.visitor(body.user_id, now, body.context)
        made = ranking_answers.recommended(served.pipeline, visitor, wanted, now, parts.new_id())
        ranking = RankingAnswer.model_validate_json(logged_answer(parts, served, made, "recommend", wanted))
    return wire.DecisionAnswer(
        decision_id=decision.decision_id,
        zone=decision.zone,
        campaign=decision.campaign,
        campaign_version=decision.campaign_version,
        experience=decision.experience,
        propensity=decision.propensity,
        content=shown.content if shown else None,
        item_id=shown.item if shown else None,
        ranking=ranking,
        send_at=plan.send_at,
        variants=dict(decision.variants) or None,
        not_chosen=not_chosen,
    )


def _unavailable(request: Request, item_id: str) -> str | None:
    """Return why an item may not be shown now, as the end of the sentence "It is ..."; None where it may."""
    pipeline = serving(request).pipeline
    index = pipeline.catalog.find(item_id)
    if index is None:
        return "not in the catalog"
    removed = Rules(pipeline.catalog, assembly(request).moment(), ()).removed(np.array([index], np.int32))
    return next((reason for reason, items in removed if len(items)), None)
