"""What a list shows of each item, as it is written into answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic_core import to_json

from serving.live_catalog import LiveCatalog

CARDS_KEPT: Final = 65_536
SHOWN: Final = ("title", "url", "image_url", "price")


class Card(NamedTuple):
    """An item in a list: its id, and that with what is known of ``SHOWN`` as members of a JSON object."""

    item_id: str
    json: str


class Cards:
    """The cards of the items of a catalog; made when first asked for, and again after a change."""

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog
        self._version = catalog.version
        # One chunk: a table as it is read from a file has many, and looks through them for each row.
        self._shown = catalog.rows(None).select("item_id", *SHOWN).rechunk()
        self._changed: set[int] = set()
        self._cards: dict[int, Card] = {}

    def of(self, items: Sequence[int]) -> list[Card]:
        """Return the cards of ``items``."""
        if self._catalog.version != self._version:
            self._forget_changed()
        missing = [item for item in items if item not in self._cards]
        if missing:
            if len(self._cards) + len(missing) > CARDS_KEPT:
                self._cards.clear()
                missing = list(items)
            for item in missing:
                # Of these few columns, a row by itself is there sooner than a table of even one row.
                row = self._catalog.row(item) if item in self._changed else self._shown.row(item, named=True)
                known = {name: row[name] for name in ("item_id", *SHOWN) if row[name] is not None}
                self._cards[item] = Card(row["item_id"], to_json(known).decode()[1:-1])
        return [self._cards[item] for item in items]

    def _forget_changed(self) -> None:
        changed = self._catalog.changed_since(self._version)
        items = range(len(self._catalog)) if changed is None else changed.tolist()
        self._changed.update(items)
        for item in items:
            self._cards.pop(item, None)
        self._version = self._catalog.version
