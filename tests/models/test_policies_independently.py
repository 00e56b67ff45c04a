"""The policies against MABWiser (Strong, Kleynhans and Kadioglu, ICTAI 2019) on the same stream."""

from __future__ import annotations

import numpy as np
import pytest

from models.evidence import Evidence
from models.policies import POLICIES, LinUcb
from tests.decision_worlds import TasteWorld

mabwiser = pytest.importorskip("mabwiser.mab", reason="MABWiser is in the extra `test`")


@pytest.fixture(scope="module")
def stream() -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Arms chosen by chance, rewards and contexts of 2,000 visitors, and all arms."""
    world, rng = TasteWorld.of_twelve_arms(), np.random.default_rng(0)
    tastes, contexts = world.visitors(2_000, rng)
    places = rng.integers(len(world.arms), size=2_000)
    rewards = (rng.random(2_000) < world.rates[tastes, places]).astype(float)
    return [world.arms[place] for place in places], rewards, contexts, world.arms


def test_linear_means_and_spreads_are_those_of_its_lin_ucb(stream) -> None:
    chosen, rewards, contexts, arms = stream
    policy = POLICIES["lin_ucb"]()
    assert isinstance(policy, LinUcb)
    rows = zip(chosen, rewards, contexts, strict=True)
    known = Evidence.total(policy.evidence(arm, reward, context) for arm, reward, context in rows)
    x = np.concatenate([np.ones((len(contexts), 1)), contexts], axis=1)
    theirs = {}
    for alpha in (0.0, 1.0):
        bandit = mabwiser.MAB(arms, mabwiser.LearningPolicy.LinUCB(alpha=alpha, l2_lambda=1.0))
        bandit.fit(chosen, rewards, x)
        theirs[alpha] = [bandit.predict_expectations(row[None]) for row in x[:20]]
    for row, means, bounds in zip(x[:20], theirs[0.0], theirs[1.0], strict=True):
        mean, sd = policy.expected_rewards(known, arms, row)
        spread = np.array([bounds[arm] - means[arm] for arm in arms])
        assert mean == pytest.approx([means[arm] for arm in arms], abs=1e-9)
        assert sd / spread == pytest.approx(np.full(len(arms), sd[0] / spread[0]), rel=1e-9)


def test_the_greedy_arm_is_that_of_its_epsilon_greedy(stream) -> None:
    chosen, rewards, _, arms = stream
    bandit = mabwiser.MAB(arms, mabwiser.LearningPolicy.EpsilonGreedy(epsilon=0.0))
    bandit.fit(chosen, rewards)
    policy = POLICIES["epsilon_greedy"]()
    known = Evidence.total(policy.evidence(arm, reward) for arm, reward in zip(chosen, rewards, strict=True))
    assert arms[int(np.argmax(policy.probabilities(known, arms)))] == bandit.predict()
    totals = known.totals(arms) / known.counts(arms)
    assert totals == pytest.approx([bandit.predict_expectations()[arm] for arm in arms])


def test_thompson_sampling_chooses_as_often_as_its_draws(stream) -> None:
    chosen, rewards, _, arms = stream
    policy = POLICIES["thompson"]()
    known = Evidence.total(policy.evidence(arm, reward) for arm, reward in zip(chosen, rewards, strict=True))
    bandit = mabwiser.MAB(arms, mabwiser.LearningPolicy.ThompsonSampling(), seed=3)
    bandit.fit(chosen, rewards)
    draws = [bandit.predict() for _ in range(3_000)]
    ours = policy.probabilities(known, arms)
    theirs = np.array([draws.count(arm) for arm in arms]) / len(draws)
    assert np.abs(ours - theirs).max() < 0.03
