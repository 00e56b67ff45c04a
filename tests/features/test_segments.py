"""Who belongs to a segment, and how many do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features import segments
from features.errors import InvalidInput
from features.events import Event
from features.predicates import Values, predicate
from features.profile_store import MemoryProfileStore, Person
from features.profiles import folded
from features.segments import Segments, SegmentSettings, size

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def store_of(buyers: int, others: int) -> MemoryProfileStore:
    """Return a store with so many who bought something and so many who only looked."""
    store = MemoryProfileStore()
    events = [
        Event(f"{kind}{k}", kind, f"{kind}{k}", NOW - timedelta(days=k % 9), "i")
        for kind, n in [("purchase", buyers), ("view", others)]
        for k in range(n)
    ]
    store.add(folded(events, store.numbers).items(), 1)
    return store


def values_of(person: Person) -> Values:
    return person.profile.values(NOW)


def test_somebody_belongs_to_the_segments_whose_conditions_hold():
    shop = Segments.of_expressions(
        {
            "shoe_lovers": "visits_7d >= 2 AND affinity('category', 'Shoes') > .6 AND purchases = 0",
            "mobile": "context.device = 'mobile'",
            "buyers": "purchases > 0",
        }
    )
    values = {"visits_7d": 2, "affinity.category.Shoes": 0.7, "purchases": 0, "context.device": "mobile"}
    assert shop.of(values) == {"shoe_lovers", "mobile"}
    assert shop.of({}) == frozenset()


def test_segments_are_read_from_a_file(tmp_path: Path):
    (tmp_path / "segments.toml").write_text('[segments]\nbuyers = "purchases > 0"\n')
    shop = Segments.of_expressions(SegmentSettings.read(tmp_path / "segments.toml").segments)
    assert shop.of({"purchases": 1}) == {"buyers"}


@pytest.mark.parametrize(("name", "condition"), [("Buyers!", "purchases > 0"), ("buyers", "purchase > 0")])
def test_a_segment_that_cannot_be_is_refused(name: str, condition: str):
    with pytest.raises(InvalidInput):
        Segments.of_expressions({name: condition})


def test_a_segment_may_build_on_others_but_not_on_itself():
    shop = Segments.of_expressions({"buyers": "purchases > 0", "keen": "segment.buyers AND visits_7d >= 2"})

    class Values(dict[str, object]):
        def __missing__(self, name: str) -> object:
            return shop.holds(name.removeprefix("segment."), self)

        def get(self, name: str, default: object = None) -> object:
            return self[name]

    assert shop.of(Values(purchases=1, visits_7d=2)) == {"buyers", "keen"}
    assert shop.of(Values(purchases=0, visits_7d=2)) == frozenset()
    with pytest.raises(InvalidInput, match="the segment 'nobody', which there is not"):
        Segments.of_expressions({"keen": "segment.nobody"})
    with pytest.raises(InvalidInput, match="in a circle"):
        Segments.of_expressions({"a": "segment.b", "b": "NOT segment.a"})


def test_a_small_shop_is_counted_one_and_all():
    buyers = size(predicate("purchases > 0"), store_of(30, 70), values_of, np.random.default_rng(0), samples=3)
    assert (buyers.people, buyers.low, buyers.high, buyers.sampled, buyers.of) == (30, 30, 30, 100, 100)
    assert len(buyers.samples) == 3
    assert all(user_id.startswith("purchase") for user_id in buyers.samples)


def test_a_large_shop_is_estimated_and_the_interval_tells_how_well(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segments, "SAMPLED", 100)
    store, covered = store_of(300, 700), 0
    for seed in range(40):
        buyers = size(predicate("purchases > 0"), store, values_of, np.random.default_rng(seed))
        assert (buyers.sampled, buyers.of) == (100, 1000)
        covered += buyers.low <= 300 <= buyers.high
    assert covered >= 34  # 38 of 40 are expected, and fewer than 34 in one of 100 worlds


def test_an_empty_store_has_empty_segments():
    nobody = size(predicate("TRUE"), MemoryProfileStore(), values_of, np.random.default_rng(0))
    assert (nobody.people, nobody.of, nobody.samples) == (0, 0, ())
