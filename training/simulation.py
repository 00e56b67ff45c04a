"""Simulated shoppers with known tastes, and campaigns with known effects: for demonstrations, load and tests.

A shopper has one taste. On each visit she looks at items, four of five of them to her taste, sees a banner and, now and
then, the checkout, and buys. What each experience does to her is set here, so that what a report says can be compared
with what is true.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalog import Catalog
from features.command_line import whole_file
from features.database import open_database, transaction
from features.errors import Unavailable
from features.event_log import EventLog
from features.events import Event
from features.fields import EPOCH, MOMENT
from features.layout import Layout
from serving.decisions import Decisions
from serving.programme import CAMPAIGN, Asked

TASTES: Final = ("city", "garden", "kitchen")
ITEMS_OF_A_TASTE: Final = 20
VISITS_PER_DAY: Final = 0.4
TO_TASTE: Final = 0.8
"""Share of the items looked at that are to the shopper's taste."""
CLICK_RATE: Final = 0.05
CLICK_RATE_TO_TASTE: Final = 0.20
"""Of a banner that is to the shopper's taste."""
BUY_RATE: Final = {"red": 0.20, "blue": 0.26}
"""Probability to buy at the checkout, by the colour of its button: blue lifts it by 30 %."""
SHOWN_RATE: Final = 0.5
"""Share of visits that come to the checkout."""

BANNER: Final = "banner"
BUTTON: Final = "button"
CAMPAIGNS: Final[dict[str, dict[str, Any]]] = {
    BANNER: {
        "zone": "home",
        "choice": "linear_thompson",
        "policy": {"uniform_share": 0.1},
        "context": [f"context.likes = '{taste}'" for taste in TASTES],
        "experiences": {taste: {"content": {"title": f"All for the {taste}"}} for taste in TASTES},
        "goal": {"reward": "click", "window_days": 1},
    },
    BUTTON: {
        "zone": "checkout",
        "choice": "ab",
        "experiences": {colour: {"content": {"colour": colour}} for colour in BUY_RATE},
        "goal": {"reward": "conversion", "window_days": 1},
    },
}
"""A banner that a policy learns to choose by what the page knows of a taste, and an A/B test of a button."""

Chosen = tuple[str, str | None] | None
"""A decision's id and experience; None where nothing was decided."""
Decide = Callable[[str, str, datetime, dict[str, Any]], Awaitable[Chosen]]
"""Takes user, zone, moment and context."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shoppers:
    """The shoppers of a world.

    Attributes:
        taste: The place in ``TASTES`` of each shopper's; shape (n,).
    """

    taste: NDArray[np.int64]

    @classmethod
    def of(cls, n: int, rng: np.random.Generator) -> Shoppers:
        """Return ``n`` shoppers, whose tastes are equally frequent."""
        return cls(rng.integers(len(TASTES), size=n))

    async def day(self, begin: datetime, decide: Decide, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Return the events of the day that begins at ``begin``."""
        visitors = np.repeat(np.arange(len(self.taste)), rng.poisson(VISITS_PER_DAY, len(self.taste)))
        seconds = np.sort(rng.uniform(8 * 3600, 22 * 3600, len(visitors)))
        events: list[dict[str, Any]] = []
        for shopper, second in zip(rng.permutation(visitors).tolist(), seconds.tolist(), strict=True):
            events += await self._visit(shopper, begin + timedelta(seconds=second), decide, rng)
        return events

    async def _visit(
        self, shopper: int, now: datetime, decide: Decide, rng: np.random.Generator
    ) -> list[dict[str, Any]]:
        user, own = f"shopper-{shopper:05}", int(self.taste[shopper])
        base = {"user_id": user, "session_id": f"{user}-{(now - EPOCH) // timedelta(seconds=1)}"}
        events: list[dict[str, Any]] = []

        def happened(event_type: str, seconds: float, **fields: Any) -> None:
            event_id = f"{base['session_id']}-{len(events)}"
            moment = (now + timedelta(seconds=seconds)).isoformat()
            events.append(base | {"event_id": event_id, "event_type": event_type, "timestamp": moment} | fields)

        items = [_item(own if rng.random() < TO_TASTE else int(rng.integers(len(TASTES))), rng) for _ in range(3)]
        for place, item in enumerate(items):
            happened("view", 30 * place, item_id=item)
        banner = await decide(user, "home", now, {"likes": TASTES[own]})
        if banner is not None:
            happened("impression", 1, decision_id=banner[0])
            rate = CLICK_RATE_TO_TASTE if banner[1] == TASTES[own] else CLICK_RATE
            if banner[1] is not None and rng.random() < rate:
                happened("click", 5, decision_id=banner[0])
        if rng.random() < SHOWN_RATE:
            button = await decide(user, "checkout", now + timedelta(seconds=120), {})
            if button is not None:
                happened("impression", 120, decision_id=button[0])
            rate = BUY_RATE.get(button[1] or "", BUY_RATE["red"]) if button else BUY_RATE["red"]
            if rng.random() < rate:
                happened("purchase", 150, item_id=items[0], value=round(float(rng.lognormal(3, 0.5)), 2))
        return events


class _Directly:
    """Makes each piece durable by itself; see ``serving.decisions.Writer``."""

    def __init__(self, database: Any) -> None:
        self._database = database

    async def committed(self, work: Callable[[], T]) -> T:
        with transaction(self._database):
            return work()

    def soon(self, work: Callable[[], Any]) -> bool:
        with transaction(self._database):
            work()
        return True


async def lived(layout: Layout, shoppers: Shoppers, days: int, until: datetime, rng: np.random.Generator) -> int:
    """Let ``shoppers`` visit the shop of the run-time folder ``layout`` for ``days`` days; return how many events.

    The catalog, the campaigns, every decision and every event are in its log then; the policy learns day by day.

    Args:
        layout: The run-time folder.
        shoppers: Who comes.
        days: For how long.
        until: When the last day ends, aware UTC.
        rng: Draws everything.
    """
    with closing(Catalog(layout)) as catalog:
        catalog.upsert(catalog_of_items())
    with (
        closing(open_database(layout.database)) as reading,
        closing(open_database(layout.database)) as writing,
        closing(EventLog(layout)) as log,
    ):
        decisions = Decisions(reading, writing, _Directly(writing), rng, lambda: rng.bytes(16).hex())
        for name, campaign in CAMPAIGNS.items():
            await decisions.define(CAMPAIGN, name, campaign, until - timedelta(days=days))

        async def decide(user: str, zone: str, now: datetime, context: dict[str, Any]) -> Chosen:
            values = {f"context.{name}": value for name, value in context.items()}
            plan = await decisions.decided(Asked(user, zone, values, now, (user,)))
            return (plan.decision.decision_id, plan.decision.experience) if plan.decision else None

        total = 0
        for day in range(days):
            records = await shoppers.day(until - timedelta(days=days - day), decide, rng)
            total += log.append(_event(record) for record in records).new
            await decisions.fold()
    return total


def catalog_of_items() -> pl.DataFrame:
    """Return the catalog: items of three tastes, dearer and less popular one after the other."""
    names = [(taste, number) for taste in TASTES for number in range(ITEMS_OF_A_TASTE)]
    nothing = pl.lit(None, pl.String)
    return pl.DataFrame(
        {
            "item_id": [_name(*one) for one in names],
            "title": [f"{taste.capitalize()} item {number}" for taste, number in names],
            "price": [5.0 + number for _, number in names],
            "taste": [[taste] for taste, _ in names],
        }
    ).with_columns(
        *(nothing.alias(name) for name in ("description", "url", "image_url")),
        *(pl.lit(None, pl.Float64).alias(name) for name in ("list_price", "stock")),
        *(pl.lit(None, MOMENT).alias(name) for name in ("published_at", "expires_at")),
        item_type=pl.lit("product"),
        visible=pl.lit(True),
    )


def _item(taste: int, rng: np.random.Generator) -> str:
    return _name(TASTES[taste], int(ITEMS_OF_A_TASTE * rng.random() ** 2))


def _name(taste: str, number: int) -> str:
    return f"{taste}-{number:02}"


def _event(record: dict[str, Any]) -> Event:
    return Event(**record | {"timestamp": datetime.fromisoformat(record["timestamp"])})


async def written(path: Path, shoppers: Shoppers, days: int, until: datetime, rng: np.random.Generator) -> int:
    """Write the events of shoppers who are shown nothing to the JSONL file ``path``, whole or not at all."""

    async def decide(user: str, zone: str, now: datetime, context: dict[str, Any]) -> Chosen:
        return None

    total = 0
    with whole_file(path) as file:
        for day in range(days):
            records = await shoppers.day(until - timedelta(days=days - day), decide, rng)
            file.writelines(json.dumps(record) + "\n" for record in records)
            total += len(records)
    return total


async def sent(url: str, shoppers: Shoppers, days: int, until: datetime, rng: np.random.Generator) -> int:
    """Let ``shoppers`` ask the service at ``url`` for decisions, and send it their events; return how many it took.

    Raises:
        Unavailable: it cannot be reached, or refuses something.
    """

    def ask(method: str, path: str, body: Any) -> Any:
        where, headers = f"{url.rstrip('/')}{path}", {"Content-Type": "application/json"}
        try:
            with urlopen(Request(where, json.dumps(body).encode(), headers, method=method), timeout=30) as answer:
                return json.load(answer)
        except HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise Unavailable(f"{method} {where} was answered with {error.code}: {said}") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{where} cannot be reached: {error}. Is the service running there?") from None

    async def decide(user: str, zone: str, now: datetime, context: dict[str, Any]) -> Chosen:
        answer = ask("POST", "/v1/decide", {"user_id": user, "zone": zone, "context": context})
        return (answer["decision_id"], answer.get("experience")) if "decision_id" in answer else None

    for name, campaign in CAMPAIGNS.items():
        ask("PUT", f"/v1/campaigns/{name}", campaign)
    total = 0
    for day in range(days):
        records = await shoppers.day(until - timedelta(days=days - day), decide, rng)
        for first in range(0, len(records), 500):
            total += ask("POST", "/v1/events", records[first : first + 500])["accepted"]
    return total
