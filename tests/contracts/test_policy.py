"""What every policy promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidInput, NotFound
from models.evidence import ArmEvidence, Evidence
from models.policies import POLICIES, Policy, choose, policy_of

NAMES = ("a", "b", "c", "d")
ALL = [policy_of(name, {"shares": dict.fromkeys(NAMES, 1.0)} if name == "fixed" else {}, "test") for name in POLICIES]

contexts = st.tuples(st.floats(-3, 3), st.floats(-3, 3))
decisions = st.tuples(st.sampled_from(NAMES), st.sampled_from((0.0, 1.0)), contexts, st.sampled_from((0.0, 1.0, 5.0)))
logs = st.lists(decisions, max_size=30)
offers = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)


def learned(policy: Policy, log: list[tuple[str, float, tuple[float, float], float]]) -> Evidence:
    return Evidence.total(policy.evidence(arm, reward, context, count) for arm, reward, context, count in log)


every_policy = pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.name)


@every_policy
def test_it_is_a_policy(policy: Policy):
    assert isinstance(policy, Policy)
    assert policy_of(policy.name, policy.config.model_dump(), "test").config == policy.config


@every_policy
@given(log=logs, arms=offers, context=contexts, worth=st.floats(0.1, 100))
@settings(max_examples=40, deadline=None)
def test_the_probabilities_of_the_arms_on_offer_sum_to_one(policy, log, arms, context, worth):
    worths = worth ** np.arange(len(arms))

    p = policy.probabilities(learned(policy, log), arms, context, worths)

    assert p.shape == (len(arms),)
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-12)


@given(log=logs, data=st.data())
@settings(max_examples=40, deadline=None)
def test_evidence_is_the_same_whatever_the_order_and_the_grouping(log, data):
    parts = [Evidence({arm: ArmEvidence.of(reward, context, count)}) for arm, reward, context, count in log]
    shuffled = data.draw(st.permutations(parts))
    cut = data.draw(st.integers(0, len(parts)))

    one, other = Evidence.total(parts), Evidence.total(shuffled[:cut]) + Evidence.total(shuffled[cut:])

    assert one.arms.keys() == other.arms.keys()
    for arm, known in one.arms.items():
        assert other.arms[arm].gram == pytest.approx(known.gram, rel=1e-12, abs=1e-12)
        assert other.arms[arm].moment == pytest.approx(known.moment, rel=1e-12, abs=1e-12)
        assert other.arms[arm].square == pytest.approx(known.square, rel=1e-12)


@given(log=logs)
@settings(max_examples=10, deadline=None)
def test_nothing_added_changes_nothing(log):
    evidence = Evidence.total(Evidence({arm: ArmEvidence.of(reward, context)}) for arm, reward, context, _ in log)

    assert (evidence + Evidence()).as_json() == (Evidence() + evidence).as_json() == evidence.as_json()


@every_policy
@given(log=logs, context=contexts, data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_arms_changes_nothing(policy, log, context, data):
    evidence, arms = learned(policy, log), data.draw(st.permutations(NAMES))

    p = dict(zip(NAMES, policy.probabilities(evidence, NAMES, context), strict=True))
    q = dict(zip(arms, policy.probabilities(evidence, arms, context), strict=True))

    assert [q[arm] for arm in NAMES] == pytest.approx([p[arm] for arm in NAMES], abs=1e-6)


@every_policy
def test_arms_of_which_nothing_is_known_are_equally_likely(policy: Policy):
    assert policy.probabilities(Evidence(), NAMES, (0.5, -1.0)) == pytest.approx([0.25] * 4)


@every_policy
def test_a_removed_arm_is_never_chosen_and_comes_back_with_what_is_known_of_it(policy: Policy):
    evidence = learned(policy, [("a", 1.0, (0.0, 0.0), 1.0)] * 50 + [("b", 0.0, (0.0, 0.0), 1.0)] * 50)

    before = policy.probabilities(evidence, NAMES, (0.0, 0.0))
    without = policy.probabilities(evidence, ["b", "c"], (0.0, 0.0))

    assert without.sum() == pytest.approx(1)
    assert policy.probabilities(evidence, NAMES, (0.0, 0.0)) == pytest.approx(before)


@every_policy
def test_a_single_arm_is_chosen_for_certain(policy: Policy):
    assert policy.probabilities(Evidence(), ["b"], ()) == pytest.approx([1.0])


@every_policy
def test_what_is_chosen_carries_the_probability_that_was_returned(policy: Policy):
    p = policy.probabilities(learned(policy, [("a", 1.0, (1.0, 0.0), 1.0)] * 3), NAMES, (1.0, 0.0))

    for seed in range(20):
        choice = choose(NAMES, p, np.random.default_rng(seed))
        assert choice.propensity == p[NAMES.index(choice.arm)] > 0


@every_policy
def test_asking_twice_gives_the_same_answer(policy: Policy):
    evidence = learned(policy, [("a", 1.0, (1.0, 0.0), 1.0), ("c", 0.0, (0.0, 1.0), 1.0)])

    assert (policy.probabilities(evidence, NAMES, (1, 2)) == policy.probabilities(evidence, NAMES, (1, 2))).all()


@every_policy
def test_evidence_survives_being_stored_to_the_last_bit(policy: Policy):
    evidence = learned(policy, [("a", 1.0, (0.1, 1 / 3), 1.0), ("é", 0.0, (0.7, 0.2), 1.0)])

    restored = Evidence.from_json(json.loads(json.dumps(evidence.as_json())))

    arms = ("a", "é")
    assert (policy.probabilities(restored, NAMES, (1, 2)) == policy.probabilities(evidence, NAMES, (1, 2))).all()
    assert all((restored.arms[arm].gram == evidence.arms[arm].gram).all() for arm in arms)


@every_policy
@pytest.mark.parametrize("arms", [[], ["a", "a"]])
def test_no_arms_and_repeated_arms_are_refused(policy: Policy, arms):
    with pytest.raises(InvalidInput, match="at least one arm, each once"):
        policy.probabilities(Evidence(), arms)


@every_policy
@pytest.mark.parametrize("worth", [[1.0], [1.0, 0.0], [1.0, -2.0], [1.0, float("nan")]])
def test_a_worth_that_is_missing_or_not_above_zero_is_refused(policy: Policy, worth):
    with pytest.raises(InvalidInput, match="one worth above 0 for each of the 2 arms"):
        policy.probabilities(Evidence(), ["a", "b"], worth=worth)


@every_policy
@pytest.mark.parametrize("context", [(float("nan"),), (float("inf"),), ("red",), [[1.0]]])
def test_a_context_that_is_not_a_row_of_finite_numbers_is_refused(policy: Policy, context):
    with pytest.raises(InvalidInput, match="A context is"):
        policy.probabilities(Evidence(), ["a", "b"], context)


@every_policy
@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_refused(policy: Policy, reward):
    with pytest.raises(InvalidInput):
        policy.evidence("a", reward)


def test_evidence_over_contexts_of_different_lengths_is_not_added():
    with pytest.raises(InvalidInput, match=r"contexts of 1 numbers cannot be added .* contexts of 2"):
        ArmEvidence.of(1.0, (1.0,)) + ArmEvidence.of(1.0, (1.0, 2.0))


def test_an_unknown_policy_is_refused_by_name():
    with pytest.raises(NotFound, match=r"there is no policy 'exp4'; there are: uniform, fixed"):
        policy_of("exp4", {}, "campaign spring")
