"""What a list shows of each item, as it is written into answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic_core import to_json

from serving.live_catalog import LiveCatalog

CARDS_KEPT: Final = 65_536
"""Of so many items it is kept what lists show of them: 15 MB, and 25 with addresses of pages and images."""
MEMBERS: Final = ("item_id", "title", "url", "image_url", "price")


class Shown(NamedTuple):
    """The items of a list: their ids, and of each what is known of ``MEMBERS``, as members of a JSON object."""

    item_ids: list[str]
    json: list[str]


class Cards:
    """The cards of the items of a catalog; made when first asked for, and again after a change."""

    def __init__(self, catalog: LiveCatalog, kept: int = CARDS_KEPT) -> None:
        """Keep ``kept`` cards at most; once there are so many, each that is made takes the place of another."""
        self._catalog, self._kept = catalog, kept
        self._version = catalog.version
        # One chunk: a table as it is read from a file has many, and looks through them for each row.
        self._shown = catalog.rows(None).select(MEMBERS).rechunk()
        self._changed = bytearray(len(catalog))  # 1 for those of which that does not hold any more
        # By item, empty where there is none: a dictionary of pairs takes twice the memory, and the collector of
        # garbage would look through all the pairs.
        self._item_ids, self._cards = [""] * len(catalog), [""] * len(catalog)
        self._n = self._next_to_go = 0

    def of(self, items: Sequence[int]) -> Shown:
        """Return what a list of ``items`` shows."""
        if self._catalog.version != self._version:
            self._forget_changed()
        item_ids, cards, shown = self._item_ids, self._cards, Shown([], [])
        for item in items:
            if not cards[item]:
                self._make(item)
            shown.item_ids.append(item_ids[item])
            shown.json.append(cards[item])
        return shown

    def _make(self, item: int) -> None:
        if self._changed[item]:
            row = self._catalog.row(item)
            fields = tuple(row[name] for name in MEMBERS)
        else:
            fields = self._shown.row(item)  # of these few columns it is there sooner than a table of even one row
        known = {name: field for name, field in zip(MEMBERS, fields, strict=True) if field is not None}
        if self._n == self._kept:
            while not self._cards[self._next_to_go]:
                self._next_to_go = (self._next_to_go + 1) % len(self._cards)
            self._forget(self._next_to_go)
        self._item_ids[item], self._cards[item] = fields[0], to_json(known).decode()[1:-1]
        self._n += 1

    def _forget(self, item: int) -> None:
        if self._cards[item]:
            self._item_ids[item] = self._cards[item] = ""
            self._n -= 1

    def _forget_changed(self) -> None:
        changed = self._catalog.changed_since(self._version)
        items = range(len(self._catalog)) if changed is None else changed.tolist()
        n_more = len(self._catalog) - len(self._cards)
        self._changed += bytes(n_more)
        self._item_ids += [""] * n_more
        self._cards += [""] * n_more
        for item in items:
            self._changed[item] = 1
            self._forget(item)
        self._version = self._catalog.version
