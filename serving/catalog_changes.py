"""Changes of the catalog as requests bring them: checked one by one, and made together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from features.catalog import FIELDS, Catalog, InvalidItem, Row, parse
from features.errors import InvalidInput
from features.fields import Rejected

PARTS: Final = ("put", "patch", "delete")

Refused = tuple[str, int, InvalidItem]
"""The part of the request, the place in it, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a request wants to change: for each part the good records, each with its place.

    Attributes:
        put: Items to add, or to replace as a whole.
        patch: Items with the columns to set.
        delete: Ids of items to take out.
        rejected: The bad records.
    """

    put: list[tuple[int, Row]] = field(default_factory=list)
    patch: list[tuple[int, Row]] = field(default_factory=list)
    delete: list[tuple[int, str]] = field(default_factory=list)
    rejected: list[Refused] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many good records there are."""
        return len(self.put) + len(self.patch) + len(self.delete)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of changes; see ``Upserted``. ``unknown`` are those of items that are not in the catalog."""

    version: int
    added: int
    changed: int
    unchanged: int
    deleted: int
    unknown: list[Refused]


def changes(body: Any, limit: int) -> Changes:
    """Return the changes that ``body`` asks for: an object with the arrays ``put``, ``patch`` and ``delete``.

    Raises:
        InvalidInput: it is of another form, or brings more than ``limit`` records.
    """
    if not isinstance(body, dict) or not body.keys() <= set(PARTS):
        raise InvalidInput(
            f"The body must be an object of the arrays {', '.join(PARTS)}, each of which may be left out."
        )
    given = Changes()
    total = 0
    for part in PARTS:
        records = body.get(part, [])
        if not isinstance(records, list):
            raise InvalidInput(f"{part} must be an array.")
        total += len(records)
        if total > limit:
            raise InvalidInput(f"The request changes more than {limit:,} items. Send several requests.")
        read: Callable[[Any], Any] = _item_id if part == "delete" else parse
        for index, record in enumerate(records):
            try:
                getattr(given, part).append((index, read(record)))
            except InvalidItem as error:
                given.rejected.append((part, index, error))
    return given


def written(catalog: Catalog, given: Changes) -> Outcome:
    """Make the changes, first ``put``, then ``patch``, then ``delete``, and return what became of them."""
    put = catalog.put(row for _, row in given.put)
    before = catalog.version
    unknown = {"patch": set(catalog.patch(row for _, row in given.patch))}
    patched = catalog.version - before
    unknown["delete"] = set(catalog.delete(item_id for _, item_id in given.delete))
    refused = [
        *_unknown("patch", [(index, row["item_id"]) for index, row in given.patch], unknown["patch"]),
        *_unknown("delete", given.delete, unknown["delete"]),
    ]
    missing = sum(part == "patch" for part, _, _ in refused)
    return Outcome(
        version=catalog.version,
        added=put.new,
        changed=put.changed + patched,
        unchanged=put.unchanged + len(given.patch) - patched - missing,
        deleted=len(given.delete) - (len(refused) - missing),
        unknown=refused,
    )


def _unknown(part: str, records: list[tuple[int, str]], item_ids: set[str]) -> list[Refused]:
    reason = "names no item of the catalog"
    return [(part, index, InvalidItem("item_id", reason, name)) for index, name in records if name in item_ids]


def _item_id(given: object) -> str:
    try:
        found: str = FIELDS["item_id"].value(given)
    except Rejected as rejected:
        raise InvalidItem("item_id", str(rejected), given) from None
    return found
