"""What to show somebody in a zone: one experience of one campaign, with its probability, and why not the others.

A decision is a pure function of who asks, what is known, and chance. Campaigns are looked at in order of priority;
the first that is on, whose audience the person meets, whose caps leave room and whose experiment says so, decides.
Whoever is in its holdout is then shown nothing, on record.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from features.decision_log import Decision
from features.definitions import Definition
from features.errors import InvalidInput, NotFound
from features.predicates import Predicate, Values, predicate, quantity
from models.evidence import Evidence
from models.policies import Policy, choose
from serving.cadence import Message, assumed, engagement
from serving.campaigns import AB, RULES, Campaign
from serving.experiments import (
    GLOBAL_HOLDOUT,
    HELD_OUT,
    TREATED,
    Experiment,
    check_layers,
    divided,
    is_held_out,
    position,
    variant_of,
)

T = TypeVar("T")

CAMPAIGN: Final = "campaign"
EXPERIMENT: Final = "experiment"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a decision.

    Attributes:
        user_id: The unit, by which experiments, holdouts and splits assign.
        zone: The place.
        values: What is known of profile and context.
        now: The moment, aware UTC.
        user_ids: All ids of the person, ``user_id`` included: frequency caps count over them.
        variants: Variants of experiments to see for testing; these do not count.
        explain: Whether to say of everything else why it was not chosen.
    """

    user_id: str
    zone: str
    values: Values
    now: datetime
    user_ids: tuple[str, ...]
    variants: Mapping[str, str] = field(default_factory=dict)
    explain: bool = False


class Known(Protocol):
    """What a decision depends on beside who asks."""

    def count(self, user_ids: Sequence[str], campaign: str, after: datetime) -> int:
        """Return how many decisions of ``campaign`` there were for ``user_ids`` after ``after``."""

    def count_of_days(self, campaign: str, now: datetime, days: float) -> int:
        """Return how many decisions of ``campaign`` there were on the last ``days`` days (UTC), today included."""

    def messages(self, user_ids: Sequence[str], campaign: str) -> tuple[list[Message], Decision | None]:
        """Return the last messages sent, the latest first, and the decision for the next one, if there is one yet."""

    def evidence(self, campaign: str, definition: Campaign) -> Evidence:
        """Return what is known of a campaign's experiences."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A campaign, or one of its experiences, that was not chosen, and why."""

    campaign: str
    experience: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to decide, before it is on record.

    Attributes:
        decision: What to record; None where nothing is on for this person here.
        campaign: That of the decision, if it has one.
        passed_over: What was not chosen; campaigns after the chosen one only where an explanation was asked for.
        send_at: Where the experience is an interval, when the next message is due, aware UTC.
        on_record: Whether the decision is on record already: its message has not been sent yet.
    """

    decision: Decision | None
    campaign: Campaign | None = None
    passed_over: tuple[PassedOver, ...] = ()
    send_at: datetime | None = None
    on_record: bool = False


@dataclass(frozen=True, slots=True)
class _Ready:
    """A campaign with everything compiled.

    Attributes:
        assumed: What is taken to be known of its experiences before any was shown.
        experiment: The experiment and variant that alone may see it.
    """

    name: str
    version: str
    campaign: Campaign
    audience: Predicate | None
    when: Mapping[str, Predicate]
    context: Mapping[str, Callable[[Values], Any]]
    policy: Policy | None
    assumed: Evidence
    experiment: tuple[str, str] | None

    @classmethod
    def of(cls, name: str, campaign: Campaign, experiment: tuple[str, str] | None) -> _Ready:
        where = f"of the campaign {name!r}"
        return cls(
            name=name,
            version=campaign.version,
            campaign=campaign,
            audience=None if campaign.audience is None else compiled(predicate, campaign.audience, f"audience {where}"),
            when={
                key: compiled(predicate, one.when, f"experiences.{key}.when {where}")
                for key, one in campaign.experiences.items()
                if one.when is not None
            },
            context={text: compiled(quantity, text, f"context {where}") for text in campaign.context},
            policy=campaign.learner,
            assumed=Evidence(
                {
                    key: assumed(one.interval_days, campaign.context, campaign.goal.unsubscribe_cost)
                    for key, one in campaign.experiences.items()
                    if one.interval_days is not None and campaign.goal.reward == "open"
                }
            ),
            experiment=experiment,
        )

    def passed(self, experience: str | None, reason: str) -> PassedOver:
        return PassedOver(self.name, experience, reason)


class Programme:
    """All campaigns and experiments as they hold at some time, ready to decide by; immutable.

    Attributes:
        campaigns: By name.
        experiments: By name, in order.
        recipes: Those that experiments are about.
    """

    def __init__(
        self,
        campaigns: Mapping[str, Campaign],
        experiments: Mapping[str, Experiment],
        global_holdout: float = 0.0,
    ) -> None:
        """Compile every expression.

        Raises:
            InvalidInput: an expression cannot be compiled, experiments of one layer overlap, or two claim a campaign.
        """
        check_layers(experiments)
        self.campaigns = dict(campaigns)
        self.experiments = dict(sorted(experiments.items()))
        self.recipes = frozenset(filter(None, (one.recipe for one in experiments.values())))
        self._global_holdout = global_holdout
        self._audiences = {
            name: compiled(predicate, one.audience, f"audience of the experiment {name!r}")
            for name, one in experiments.items()
            if one.audience is not None
        }
        claims: dict[str, tuple[str, str]] = {}
        for name, one in self.experiments.items():
            for variant, side in one.variants.items():
                for claimed in side.campaigns:
                    if claimed in claims:
                        raise InvalidInput(
                            f"The campaign {claimed!r} belongs to the variant {claims[claimed][1]!r} of "
                            f"{claims[claimed][0]!r} and to {variant!r} of {name!r}; name it in one of them."
                        )
                    claims[claimed] = (name, variant)
        self._zones: dict[str, list[_Ready]] = {}
        for name, campaign in sorted(campaigns.items(), key=lambda item: (-item[1].priority, item[0])):
            ready = _Ready.of(name, campaign, claims.get(name))
            self._zones.setdefault(campaign.zone, []).append(ready)

    @classmethod
    def of(cls, definitions: Sequence[Definition], global_holdout: float = 0.0) -> Programme:
        """Return the programme that ``definitions`` make."""
        campaigns, experiments = {}, {}
        for one in definitions:
            if one.text is None:
                continue
            if one.kind == CAMPAIGN:
                campaigns[one.name] = Campaign.of(json.loads(one.text), f"campaign {one.name}")
            else:
                experiments[one.name] = Experiment.of(json.loads(one.text), f"experiment {one.name}")
        return cls(campaigns, experiments, global_holdout)

    def recipe(self, asked: Asked, recipe: str) -> tuple[str, dict[str, str]]:
        """Return the recipe that ranks in place of ``recipe``, and the variants to put on record with the ranking.

        Where several experiments on a recipe run at once without a common layer, the first by name decides.

        Raises:
            NotFound: a variant to test does not exist.
        """
        self._check(asked.variants)
        for name, experiment in self.experiments.items():
            if experiment.recipe == recipe and experiment.runs(asked.now):
                variant, counts = self._variant(name, asked)
                if variant is not None:
                    return experiment.variants[variant].recipe or recipe, {name: variant} if counts else {}
        return recipe, {}

    def planned(
        self,
        asked: Asked,
        known: Known,
        unavailable: Callable[[str], str | None],
        decision_id: str,
        rng: np.random.Generator,
    ) -> Plan:
        """Return what to decide for ``asked``, without putting it on record.

        Args:
            asked: For whom, where and when.
            known: The decisions so far, and what they taught.
            unavailable: Returns why an item may not be shown now, or None where it may.
            decision_id: What the decision is to be called.
            rng: Draws what a policy chooses.

        Raises:
            NotFound: no campaign has this zone, or a variant to test does not exist.
            InvalidInput: an expression of a policy's context is no number for this person.
        """
        if asked.zone not in self._zones:
            zones = ", ".join(sorted(self._zones)) or "none"
            raise NotFound(f"No campaign has the zone {asked.zone!r}. Zones: {zones}.")
        self._check(asked.variants)
        passed: list[PassedOver] = []
        variants: dict[str, str] = {}
        campaigns = iter(self._zones[asked.zone])
        for ready in campaigns:
            plan = self._tried(ready, asked, known, unavailable, variants, decision_id, rng)
            passed += plan.passed_over
            if plan.decision is not None:
                if asked.explain:
                    passed += [
                        later.passed(None, self._ineligible(later, asked, known, {}) or f"{ready.name!r} goes first")
                        for later in campaigns
                    ]
                return replace(plan, passed_over=tuple(passed))
        nothing = Decision(decision_id, asked.user_id, asked.now, asked.zone, variants=variants)
        return Plan(nothing if variants else None, passed_over=tuple(passed))

    def _check(self, variants: Mapping[str, str]) -> None:
        for name, variant in variants.items():
            if name not in self.experiments:
                known = ", ".join(self.experiments) or "none"
                raise NotFound(f"There is no experiment {name!r}. Experiments: {known}.")
            if variant not in self.experiments[name].variants:
                known = ", ".join(self.experiments[name].variants)
                raise NotFound(f"The experiment {name!r} has no variant {variant!r}; it has {known}.")

    def _variant(self, name: str, asked: Asked) -> tuple[str | None, bool]:
        """Return the variant that ``asked`` has in an experiment that runs, or None; and whether that counts."""
        experiment = self.experiments[name]
        forced = asked.variants.get(name) or experiment.overrides.get(asked.user_id)
        if forced is not None:
            return forced, False
        audience = self._audiences.get(name)
        if is_held_out(asked.user_id, self._global_holdout) or (audience and not audience(asked.values)):
            return None, False
        return variant_of(name, experiment, asked.user_id), True

    def _tried(
        self,
        ready: _Ready,
        asked: Asked,
        known: Known,
        unavailable: Callable[[str], str | None],
        variants: dict[str, str],
        decision_id: str,
        rng: np.random.Generator,
    ) -> Plan:
        """Return what the campaign decides, or a plan without a decision that says why it does not.

        ``variants`` gains the experiment's variant that bore on it.
        """
        if reason := self._ineligible(ready, asked, known, variants):
            return Plan(None, passed_over=(ready.passed(None, reason),))
        of_person = dict(variants)
        if self._global_holdout:
            out = is_held_out(asked.user_id, self._global_holdout)
            of_person[GLOBAL_HOLDOUT] = HELD_OUT if out else TREATED
        blank = Decision(
            decision_id, asked.user_id, asked.now, asked.zone, ready.name, ready.version, variants=of_person
        )
        if of_person.get(GLOBAL_HOLDOUT) == HELD_OUT or ready.campaign.holds_out(ready.name, asked.user_id):
            return Plan(blank, ready.campaign, (ready.passed(None, "the person is in the holdout"),))
        passed, offers = [], []
        for name, one in ready.campaign.experiences.items():
            reason = None if one.item is None else unavailable(one.item)
            if reason is None:
                offers.append(name)
            else:
                passed.append(ready.passed(name, f"its item {one.item!r} cannot be shown: {reason}"))
        choices = {RULES: _by_rules, AB: _by_split}
        if not offers:
            plan = Plan(None, passed_over=(ready.passed(None, "none of its items can be shown"),))
        elif choice := choices.get(ready.campaign.choice):
            plan = choice(ready, asked, offers, blank)
        else:
            plan = _by_policy(ready, asked, known, offers, blank, rng)
        return replace(plan, passed_over=(*passed, *plan.passed_over))

    def _ineligible(self, ready: _Ready, asked: Asked, known: Known, variants: dict[str, str]) -> str | None:
        """Return why the campaign is not for ``asked``, or None; ``variants`` gains the variant that bore on it."""
        campaign, name = ready.campaign, ready.name
        if reason := campaign.off_schedule(asked.now):
            return reason
        if ready.audience is not None and not ready.audience(asked.values):
            return f"its audience is {campaign.audience}"
        for cap in campaign.per_person:
            if known.count(asked.user_ids, name, asked.now - timedelta(days=cap.days)) >= cap.decisions:
                return f"capped: the person had it {cap.decisions} times within {cap.days:g} days"
        for cap in campaign.overall:
            if known.count_of_days(name, asked.now, cap.days) >= cap.decisions:
                return f"capped: it was decided for {cap.decisions} times within {cap.days:g} days"
        if ready.experiment is not None:
            experiment, own = ready.experiment
            if not self.experiments[experiment].runs(asked.now):
                return f"the experiment {experiment!r} is not running"
            variant, counts = self._variant(experiment, asked)
            if variant is not None and counts:
                variants[experiment] = variant
            if variant != own:
                return f"only variant {own!r} of the experiment {experiment!r} sees it; this is {variant or 'in none'}"
        return None


def _by_rules(ready: _Ready, asked: Asked, offers: list[str], blank: Decision) -> Plan:
    """Return the first experience whose condition is met."""
    passed = []
    rest = iter(offers)
    for name in rest:
        if name not in ready.when or ready.when[name](asked.values):
            passed += [ready.passed(later, f"{name!r} comes first") for later in rest]
            return Plan(replace(blank, experience=name, probabilities={name: 1.0}), ready.campaign, tuple(passed))
        passed.append(ready.passed(name, f"its condition is {ready.campaign.experiences[name].when}"))
    return Plan(None, passed_over=(*passed, ready.passed(None, "no condition of its experiences is met")))


def _by_split(ready: _Ready, asked: Asked, offers: list[str], blank: Decision) -> Plan:
    """Return the experience that the person has by hashing."""
    shares = {name: one.share for name, one in ready.campaign.experiences.items()}
    own = divided(shares, position(CAMPAIGN, ready.name, asked.user_id))
    if own not in offers:
        return Plan(None, passed_over=(ready.passed(None, f"the person belongs to {own!r}, which cannot be shown"),))
    split = {name: share / sum(shares.values()) for name, share in shares.items()}
    decision = replace(blank, experience=own, propensity=split[own], probabilities=split)
    others = (ready.passed(name, f"the person belongs to {own!r}") for name in offers if name != own)
    return Plan(decision, ready.campaign, tuple(others))


def _by_policy(
    ready: _Ready, asked: Asked, known: Known, offers: list[str], blank: Decision, rng: np.random.Generator
) -> Plan:
    """Return the experience that the campaign's policy draws; for messages, the one drawn before until it is sent."""
    campaign, values = ready.campaign, asked.values
    sent: list[Message] = []
    if campaign.cadence is not None:
        sent, next_one = known.messages(asked.user_ids, ready.name)
        if next_one is not None and next_one.experience in offers:
            return Plan(next_one, campaign, (), _send_at(campaign, next_one, sent, asked), on_record=True)
        if ready.context:
            engaged = {f"context.{name}": value for name, value in engagement(sent).items()}
            values = ChainMap(engaged, values)  # type: ignore[arg-type]  # which nobody writes to
    context = {text: _number(text, ready, expression(values)) for text, expression in ready.context.items()}
    experiences = [campaign.experiences[name] for name in offers]
    worth = [one.worth / (one.interval_days or 1.0) for one in experiences]
    assert ready.policy is not None
    evidence = known.evidence(ready.name, campaign) + ready.assumed
    p = ready.policy.probabilities(evidence, offers, list(context.values()), worth)
    choice = choose(offers, p, rng)
    probabilities = dict(zip(offers, p.tolist(), strict=True))
    decision = replace(
        blank,
        experience=choice.arm,
        propensity=choice.propensity,
        probabilities=probabilities,
        context=context,
    )
    others = (
        ready.passed(name, f"{choice.arm!r} was drawn; its own probability was {probability:.4g}")
        for name, probability in probabilities.items()
        if name != choice.arm
    )
    send_at = _send_at(campaign, decision, sent, asked) if campaign.cadence else None
    return Plan(decision, campaign, tuple(others), send_at)


def _send_at(campaign: Campaign, decision: Decision, sent: list[Message], asked: Asked) -> datetime:
    """Return when the message of ``decision`` may be sent: its interval after the last one, the first one at once."""
    assert campaign.cadence is not None
    assert decision.experience is not None
    interval = timedelta(days=campaign.experiences[decision.experience].interval_days or 0.0)
    due = max(sent[0].sent_at + interval, asked.now) if sent else asked.now
    time_zone = asked.values.get("context.time_zone")
    moments = [message.sent_at for message in sent]
    return campaign.cadence.send_at(due, moments, time_zone if isinstance(time_zone, str) else None)


def compiled(compiler: Callable[[str], T], text: str, where: str) -> T:
    """Return what ``compiler`` makes of the expression ``text``; ``where`` names its origin in the message.

    Raises:
        InvalidInput: it cannot be compiled.
    """
    try:
        return compiler(text)
    except InvalidInput as error:
        raise InvalidInput(f"{where[0].upper()}{where[1:]}: {error}") from None


def _number(text: str, ready: _Ready, value: Any) -> float:
    """Return what a policy makes of the value of an expression: true is 1; false and what is not known are 0."""
    if value is None:
        return 0.0
    if isinstance(value, bool | int | float) and np.isfinite(value):
        return float(value)
    raise InvalidInput(
        f"The context {text!r} of the campaign {ready.name!r} must be a number or true; it is {value!r}."
    )
