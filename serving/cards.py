"""What a list shows of each item, as it is written into answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

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
            rows = self._catalog.rows(np.array(missing, np.int32)).select(*SHOWN).iter_rows(named=True)
            for item, row in zip(missing, rows, strict=True):
                item_id = self._catalog.id(item)
                known = {"item_id": item_id, **{name: value for name, value in row.items() if value is not None}}
                self._cards[item] = Card(item_id, json.dumps(known, ensure_ascii=False)[1:-1])
        return [self._cards[item] for item in items]

    def _forget_changed(self) -> None:
        changed = self._catalog.changed_since(self._version)
        if changed is None:
            self._cards.clear()
        else:
            for item in changed.tolist():
                self._cards.pop(item, None)
        self._version = self._catalog.version
