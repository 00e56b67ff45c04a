"""What a list shows of each item, as it is written into answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import numpy as np

from serving.live_catalog import LiveCatalog

CARDS_KEPT: Final = 65_536
SHOWN: Final = ("title", "url", "image_url", "price")


class Cards:
    """The JSON of the items of a catalog, without its braces; made when first asked for, and again after a change."""

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog
        self._version = catalog.version
        self._cards: dict[int, str] = {}

    def of(self, items: Iterable[int]) -> list[str]:
        """Return for each of ``items`` its id and what is known of ``SHOWN``, as members of a JSON object."""
        if self._catalog.version != self._version:
            self._forget_changed()
        cards = self._cards
        missing = [item for item in items if item not in cards]
        if missing:
            if len(cards) + len(missing) > CARDS_KEPT:
                cards.clear()
                missing = list(items)
            rows = self._catalog.rows(np.array(missing, np.int32)).select(*SHOWN).iter_rows(named=True)
            for item, row in zip(missing, rows, strict=True):
                known = {"item_id": self._catalog.id(item), **{k: v for k, v in row.items() if v is not None}}
                cards[item] = json.dumps(known, ensure_ascii=False)[1:-1]
        return [cards[item] for item in items]

    def _forget_changed(self) -> None:
        changed = self._catalog.changed_since(self._version)
        if changed is None:
            self._cards.clear()
        else:
            for item in changed.tolist():
                self._cards.pop(item, None)
        self._version = self._catalog.version
