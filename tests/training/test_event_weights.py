from collections.abc import Sequence
from math import log
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.events import Event
from features.interactions import DAY_S
from features.snapshot import Snapshot
from models.item_to_item import ItemToItem, ItemToItemSettings
from tests.worlds import NOW, event, item, snapshot
from training.event_weights import LEAST_PEOPLE, learned_weights, telling_weights, tied
from training.protocols import Stage, bought_within


def shop(folder: Path, telling: str, misleading: str, others: Sequence[Event] = ()) -> Snapshot:
    """Return a shop of 80 people in two groups, each of which buys its own item: half of them in the last 10 days.

    ``telling`` events are of what belongs to their group, and so are the ``misleading`` ones of those who bought early;
    of the others these belong to the other group.
    """
    events = list(others)
    for user in range(80):
        name, group, lately = f"u{user:02}", user % 2, user // 40
        events += [
            event(name, f"misleading{(group + lately) % 2}", 20, misleading),
            event(name, f"telling{group}", 19, telling),
            event(name, f"bought{group}", 5 if lately else 15),
        ]
    return snapshot(
        folder, events, [item(f"{kind}{n}") for kind in ("misleading", "telling", "bought") for n in (0, 1)]
    )


def last_days(known: Snapshot, days: int = 10) -> Stage:
    end_s = int(NOW.timestamp())
    return bought_within(known.interactions, len(known.items), end_s - days * DAY_S, end_s)


@pytest.mark.parametrize(("telling", "misleading"), [("add_to_cart", "view"), ("view", "add_to_cart")])
def test_events_weigh_what_they_tell_of_later_purchases(tmp_path: Path, telling: str, misleading: str) -> None:
    of_shop = shop(tmp_path, telling, misleading)

    weights = learned_weights(of_shop, last_days(of_shop), seed=0)

    # The shop had set 0.1 for views and 0.4 for carts: the heavier of the two stays so heavy.
    assert weights is not None
    assert weights[telling] == 0.4
    assert weights[misleading] == 0


def test_types_that_few_had_and_those_that_are_not_to_count_keep_their_weights(tmp_path: Path) -> None:
    strange = [
        *(event(f"u{user:02}", "telling0", 14, "favorite") for user in range(40, 40 + LEAST_PEOPLE - 1)),
        *(event(f"u{user:02}", f"bought{user % 2}", 14, "dismiss") for user in range(80)),
    ]
    of_shop = shop(tmp_path, "add_to_cart", "view", strange)

    weights = learned_weights(of_shop, last_days(of_shop), seed=0)

    # Those who were asked had not bought anything before.
    assert weights == {"view": 0, "click": 0.1, "add_to_cart": 0.4, "favorite": 0.4, "purchase": 1}


def test_no_weights_are_learned_of_a_single_type_nor_where_no_ties_lead_to_what_was_bought(tmp_path: Path) -> None:
    single = shop(tmp_path / "single", "purchase", "purchase")
    never_before = [
        event(f"u{user:02}", f"i{n}", 20 - 5 * n, event_type)
        for user in range(40)
        for n, event_type in enumerate(("view", "add_to_cart", "purchase"))
    ]
    untied = snapshot(tmp_path / "untied", never_before, [item(f"i{n}") for n in range(3)])

    assert learned_weights(single, last_days(single), seed=0) is None
    assert learned_weights(untied, last_days(untied, 12), seed=0) is None


def test_ties_are_told_by_way_and_the_best_of_their_sum_is_1(tmp_path: Path) -> None:
    of_shop = shop(tmp_path, "add_to_cart", "view")
    ties = ItemToItem.fit(of_shop, ItemToItemSettings(half_life_days=36_500), np.random.default_rng(0))
    names = of_shop.manifest.event_types
    ways = [np.array([name == one for name in names], np.float32) for one in ("view", "add_to_cart")]
    history, bought = of_shop.interactions.of(0), of_shop.items.index("bought1")

    of_views, of_carts = tied(ties, ways, history, NOW)

    assert (of_views + of_carts).max() == pytest.approx(1)
    assert of_views[bought] > 0
    assert of_carts[bought] == 0


def test_weights_are_the_log_odds_of_what_was_chosen() -> None:
    first, second = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    chosen = sparse.csr_matrix([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]])

    weights = telling_weights([[first, second]] * 4, chosen)

    assert weights[0] - weights[1] == pytest.approx(log(3), rel=0.02)


def test_lists_of_which_all_or_nothing_was_chosen_tell_nothing() -> None:
    only = np.array([1, 0], np.float32)

    assert telling_weights([[only, only]], sparse.csr_matrix([[1, 0]])).tolist() == [0, 0]
    assert telling_weights([[only, only]], sparse.csr_matrix([[0, 1]])).tolist() == [0, 0]
