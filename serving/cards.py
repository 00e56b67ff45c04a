"""What a list shows of each item, as it is written into answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic_core import to_json

from serving.live_catalog import LiveCatalog

CARDS_KEPT: Final = 65_536
MEMBERS: Final = ("item_id", "title", "url", "image_url", "price")


class Card(NamedTuple):
    """An item in a list: its id, and that with what is known of the other ``MEMBERS`` as members of a JSON object."""

    item_id: str
    json: str


class Cards:
    """The cards of the items of a catalog; made when first asked for, and again after a change."""

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog
        self._version = catalog.version
        # One chunk: a table as it is read from a file has many, and looks through them for each row.
        self._shown = catalog.rows(None).select(MEMBERS).rechunk()
        self._changed: set[int] = set()
        self._cards: dict[int, Card] = {}

    def of(self, items: Sequence[int]) -> list[Card]:
        """Return the cards of ``items``."""
        if self._catalog.version != self._version:
            self._forget_changed()
        cards = self._cards
        try:
            return [cards[item] for item in items]
        except KeyError:
            if len(cards) + len(items) > CARDS_KEPT:
                cards.clear()
            for item in items:
                if item not in cards:
                    cards[item] = self._card(item)
        return [cards[item] for item in items]

    def _card(self, item: int) -> Card:
        if item in self._changed:
            row = self._catalog.row(item)
            fields = tuple(row[name] for name in MEMBERS)
        else:
            fields = self._shown.row(item)  # of these few columns it is there sooner than a table of even one row
        known = {name: field for name, field in zip(MEMBERS, fields, strict=True) if field is not None}
        return Card(fields[0], to_json(known).decode()[1:-1])

    def _forget_changed(self) -> None:
        changed = self._catalog.changed_since(self._version)
        items = range(len(self._catalog)) if changed is None else changed.tolist()
        self._changed.update(items)
        for item in items:
            self._cards.pop(item, None)
        self._version = self._catalog.version
