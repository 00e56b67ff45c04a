"""The policies against the formulas of their papers."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.special import beta, betaln, ndtr
from scipy.stats import chisquare

from features.errors import Corrupt, InvalidInput
from models.evidence import ArmEvidence, Evidence
from models.policies import (
    BetaThompson,
    BetaThompsonSettings,
    EpsilonGreedy,
    EpsilonGreedySettings,
    Fixed,
    FixedSettings,
    LinearSettings,
    LinearThompson,
    LinUcb,
    Uniform,
    choose,
)

PURE = BetaThompsonSettings(uniform_share=0)


def counted(**arms: tuple[int, int]) -> Evidence:
    """Return the evidence of (decisions, rewards) for each arm."""
    return Evidence(
        {
            arm: ArmEvidence(np.array([[float(n)]]), np.array([float(rewards)]), float(rewards))
            for arm, (n, rewards) in arms.items()
        }
    )


def test_uniform_gives_four_arms_a_quarter_each():
    assert Uniform().probabilities(Evidence(), ["a", "b", "c", "d"]).tolist() == [0.25] * 4


def test_a_fixed_split_is_divided_among_the_arms_on_offer():
    policy = Fixed(FixedSettings(shares={"a": 50, "b": 25, "c": 25}))

    assert policy.probabilities(Evidence(), ["a", "b", "c"]).tolist() == [0.5, 0.25, 0.25]
    assert policy.probabilities(Evidence(), ["b", "c", "new"]).tolist() == [0.5, 0.5, 0.0]


def test_a_fixed_policy_without_its_arms_says_so():
    with pytest.raises(InvalidInput, match=r"gives a share to \['a'\] only; on offer are \['b'\]"):
        Fixed(FixedSettings(shares={"a": 1})).probabilities(Evidence(), ["b"])


def test_epsilon_greedy_gives_the_best_arm_all_but_its_share_of_epsilon():
    policy = EpsilonGreedy(EpsilonGreedySettings(uniform_share=0.2))

    p = policy.probabilities(counted(a=(100, 5), b=(100, 9)), ["a", "b", "c", "d"])

    assert p == pytest.approx([0.05, 0.85, 0.05, 0.05])


def test_equally_good_arms_share_the_greedy_part():
    p = EpsilonGreedy(EpsilonGreedySettings(uniform_share=0)).probabilities(
        counted(a=(10, 5), b=(10, 5), c=(10, 1)), ["a", "b", "c"]
    )

    assert p.tolist() == [0.5, 0.5, 0.0]


def test_a_higher_worth_makes_up_for_a_lower_rate():
    policy = EpsilonGreedy(EpsilonGreedySettings(uniform_share=0))
    evidence = counted(a=(1000, 100), b=(1000, 50))

    assert policy.probabilities(evidence, ["a", "b"], worth=[1.0, 1.9]).tolist() == [1, 0]
    assert policy.probabilities(evidence, ["a", "b"], worth=[1.0, 2.1]).tolist() == [0, 1]


def exact_probability_that_b_beats_a(a1: int, b1: int, a2: int, b2: int) -> float:
    """Return P(Beta(a2, b2) > Beta(a1, b1)) for whole numbers: Cook, "Exact calculation of beta inequalities", 2005."""
    i = np.arange(a2)
    return float(np.sum(np.exp(betaln(a1 + i, b1 + b2) - betaln(1 + i, b2) - betaln(a1, b1)) / (b2 + i)))


@pytest.mark.parametrize(
    ("a", "b"), [((0, 0), (0, 0)), ((20, 3), (20, 5)), ((5000, 50), (200, 4)), ((3, 3), (10000, 9000))]
)
def test_thompson_chooses_between_two_arms_with_the_exact_probability(a, b):
    p = BetaThompson(PURE).probabilities(counted(a=a, b=b), ["a", "b"])

    exact = exact_probability_that_b_beats_a(1 + a[1], 1 + a[0] - a[1], 1 + b[1], 1 + b[0] - b[1])
    assert p[1] == pytest.approx(exact, abs=2e-3)


def test_two_uniform_priors_and_one_reward_are_worth_a_third_by_hand():
    """P(U > V) with V ~ Beta(2, 1), density 2v: the integral of 2v (1 - v) is 1/3."""
    assert BetaThompson(PURE).probabilities(counted(b=(1, 1)), ["a", "b"]) == pytest.approx([1 / 3, 2 / 3], abs=2e-3)


def test_thompson_agrees_with_drawing_from_the_posterior():
    rng = np.random.default_rng(1)
    evidence = counted(a=(30_000, 300), b=(3_000, 33), c=(300, 2), d=(30, 1))
    arms, worth = ["a", "b", "c", "d", "e"], np.array([1, 1, 2, 1, 0.05])
    rewards, counts = evidence.totals(arms), evidence.counts(arms)
    draws = rng.beta(1 + rewards, 1 + counts - rewards, (200_000, 5)) * worth
    sampled = np.bincount(draws.argmax(axis=1), minlength=5) / 200_000

    p = BetaThompson(PURE).probabilities(evidence, arms, worth=worth)

    assert p == pytest.approx(sampled, abs=5e-3)  # four standard errors of the draws


def test_thompson_refuses_amounts_and_names_the_policy_that_takes_them():
    with pytest.raises(InvalidInput, match=r"between 0 and 1; given 12\.5\. Use 'linear_thompson'"):
        BetaThompson().evidence("a", 12.5)


def test_a_reward_before_its_decision_is_counted_does_no_harm():
    early = BetaThompson(PURE).evidence("a", 1.0, count=0)

    p = BetaThompson(PURE).probabilities(early, ["a", "b"])

    assert p == pytest.approx([2 / 3, 1 / 3], abs=2e-3)


def test_showing_an_arm_and_rewarding_it_later_equals_doing_both_at_once():
    policy = LinearThompson()
    at_once = policy.evidence("a", 2.5, (1.0, -1.0))
    apart = policy.evidence("a", 2.5, (1.0, -1.0), count=0) + policy.evidence("a", 0.0, (1.0, -1.0))

    assert apart.as_json() == at_once.as_json()


class TextbookLinUcb:
    """Algorithm 1 of Li et al., 2010, one decision after another, the inverse kept by Sherman-Morrison."""

    def __init__(self, arms: list[str], d: int, alpha: float) -> None:
        self.alpha = alpha
        self.inverse = {arm: np.eye(d) for arm in arms}
        self.b = {arm: np.zeros(d) for arm in arms}

    def bound(self, arm: str, x: np.ndarray) -> float:
        inverse = self.inverse[arm]
        return float(x @ inverse @ self.b[arm] + self.alpha * np.sqrt(x @ inverse @ x))

    def learn(self, arm: str, x: np.ndarray, reward: float) -> None:
        u = self.inverse[arm] @ x
        self.inverse[arm] -= np.outer(u, u) / (1 + x @ u)
        self.b[arm] += reward * x


def test_lin_ucb_chooses_as_the_algorithm_of_the_paper_on_the_same_stream():
    rng = np.random.default_rng(7)
    arms = ["a", "b", "c"]
    weights = dict(zip(arms, rng.normal(size=(3, 4)), strict=True))
    paper = TextbookLinUcb(arms, 4, alpha=1.5)
    policy = LinUcb(LinearSettings(uniform_share=0, prior_noise=1, prior_count=1e12, exploration=1.5))
    evidence = Evidence()
    chosen = []

    for _ in range(300):
        context = rng.normal(size=3)
        x = np.concatenate(([1.0], context))
        bounds = [paper.bound(arm, x) for arm in arms]
        p = policy.probabilities(evidence, arms, context)
        assert p[int(np.argmax(bounds))] > 0
        arm = choose(arms, p, rng).arm
        reward = float(weights[arm] @ x + rng.normal())
        paper.learn(arm, x, reward)
        evidence = evidence + policy.evidence(arm, reward, context)
        chosen.append(arm)

    assert set(chosen) == set(arms)


def test_the_expected_rewards_are_those_of_a_ridge_regression():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    policy = LinearThompson(LinearSettings(prior_precision=2.0, prior_noise=0.5, prior_count=4.0))
    evidence = Evidence.total(policy.evidence("a", float(r), x) for x, r in zip(X, y, strict=True))
    design = np.column_stack([np.ones(50), X])
    precision = design.T @ design + 2.0 * np.eye(3)
    coefficients = np.linalg.solve(precision, design.T @ y)
    residual = np.sum((y - design @ coefficients) ** 2)
    x = np.array([1.0, 0.3, -0.7])

    mean, sd = policy.expected_rewards(evidence, ["a"], x)

    assert mean[0] == pytest.approx(x @ coefficients, rel=1e-12)
    assert sd[0] ** 2 == pytest.approx((4 * 0.25 + residual) / 54 * (x @ np.linalg.inv(precision) @ x), rel=1e-12)


def test_linear_thompson_chooses_between_two_arms_with_the_exact_normal_probability():
    policy = LinearThompson(LinearSettings(uniform_share=0))
    evidence = Evidence.total(policy.evidence(arm, r, (c,)) for arm, r, c in [("a", 3, 1), ("a", 1, -1), ("b", 2, 0.5)])
    (m1, m2), (s1, s2) = policy.expected_rewards(evidence, ["a", "b"], np.array([1.0, 0.2]))

    p = policy.probabilities(evidence, ["a", "b"], (0.2,))

    assert p[0] == pytest.approx(ndtr((m1 - m2) / np.hypot(s1, s2)), abs=2e-3)


def test_without_exploration_linear_thompson_takes_the_best_mean():
    policy = LinearThompson(LinearSettings(uniform_share=0, exploration=0))

    assert policy.probabilities(counted(a=(10, 2), b=(10, 3)), ["a", "b"]).tolist() == [0, 1]


def test_an_arm_without_a_name_in_the_evidence_is_explored_more_the_less_the_others_are_known():
    policy = BetaThompson(PURE)

    little = policy.probabilities(counted(a=(10, 5)), ["a", "new"])[1]
    much = policy.probabilities(counted(a=(10_000, 9_000)), ["a", "new"])[1]

    assert little == pytest.approx(0.5, abs=2e-3)
    assert much == pytest.approx(0.1, abs=2e-3)  # a uniform rate exceeds .9 one time in ten


def test_the_uniform_share_is_a_floor_for_every_arm():
    p = BetaThompson(BetaThompsonSettings(uniform_share=0.04)).probabilities(
        counted(a=(1000, 900), b=(1000, 10)), ["a", "b"]
    )

    assert p == pytest.approx([0.98, 0.02], abs=1e-4)


def test_logged_propensities_match_how_often_each_arm_is_chosen():
    rng = np.random.default_rng(5)
    arms = ["a", "b", "c", "d"]
    p = BetaThompson().probabilities(counted(a=(100, 9), b=(100, 11), c=(30, 2)), arms)

    chosen = [arms.index(choose(arms, p, rng).arm) for _ in range(20_000)]

    assert chisquare(np.bincount(chosen, minlength=4), 20_000 * p).pvalue > 0.001


def test_ten_tosses_give_the_binomial_tail():
    """With priors Beta(1, 1) and 10 decisions each, compare a double sum of binomials, by another route than Cook's."""
    successes, failures = 7, 3
    # P(Beta(8, 4) > u) is P(Binomial(11, u) <= 7); averaged over a uniform u.
    tail = sum(comb(11, i) * beta(i + 1, 12 - i) for i in range(successes + 1))

    p = BetaThompson(PURE).probabilities(counted(a=(successes + failures, successes)), ["a", "new"])

    assert p[0] == pytest.approx(tail, abs=2e-3)


@pytest.mark.parametrize(
    "values",
    [{}, {"gram": [[1]], "moment": [1, 2], "square": 1}, {"gram": [[None]], "moment": [1], "square": 1}, {"gram": "x"}],
)
def test_damaged_evidence_is_refused(values):
    with pytest.raises(Corrupt, match="stored evidence of an arm"):
        Evidence.from_json({"a": values})
