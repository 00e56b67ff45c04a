"""Which ids are one person: a function of what ``identify`` events said, whatever the order in which they came.

An ``identify`` event says that its ``user_id`` (a cookie, a device) is the same person as ``same_as`` (an account of
the shop), and an ``unidentify`` event takes that back. Such links are facts; who is one person is worked out from them
anew whenever one is added, so a link that arrives late has the effect that it would have had in time. A person's
profile is the sum of those of their ids, so taking a link back restores exactly what was there without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import PositiveInt

from features.layout import Layout
from features.settings import Settings


class Namespace(Settings):
    """What is true of ids that begin with a name and a colon, as ``customer:42``; of those without colon it is ''."""

    may_merge: bool = True
    """Whether they may be linked at all."""
    unique: bool = False
    """Whether a person has at most one of them."""


class IdentitySettings(Settings):
    """Which links hold: ``identity.toml`` in the run-time folder.

    After a change of it, ``python -m features fold --rebuild`` works out anew who is one person.
    """

    namespaces: dict[str, Namespace] = {}
    """By name; others may merge, and a person may have several of them."""
    max_identities: PositiveInt = 50
    """A person has at most so many ids: the first ones."""
    shared_after: PositiveInt = 3
    """An id that was said to be more others than this is shared (a device in a shop, a family's tablet): nobody's."""
    ignored: frozenset[str] = frozenset(
        {"null", "none", "nil", "undefined", "unknown", "anonymous", "guest", "nan", "true", "false", "0", "-1"}
    )
    """Ids, in lower case, that programs send where they have none."""

    def namespace(self, user_id: str) -> Namespace:
        """Return what is true of the namespace of ``user_id``."""
        name, colon, _ = user_id.partition(":")
        return self.namespaces.get(name if colon else "", _ANY)

    def allows(self, user_id: str) -> bool:
        """Return whether ``user_id`` may be linked."""
        return self.namespace(user_id).may_merge and user_id.rpartition(":")[2].lower() not in self.ignored


_ANY: Final = Namespace()


def identity_settings(layout: Layout) -> IdentitySettings:
    """Return the settings of a run-time folder, the same for every process that works on it.

    Raises:
        InvalidInput: its ``identity.toml`` is not what is allowed there.
    """
    return IdentitySettings.read(layout.identity) if layout.identity.exists() else IdentitySettings()


LINKING: Final = {"identify": True, "unidentify": False}
"""The event types that link ``user_id`` with ``same_as``, or take it back."""


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """``user_id`` was said to be ``same_as``, first at ``first_us``; they are compared by that time."""

    first_us: int
    user_id: str
    same_as: str


class Links(Protocol):
    """The links that hold."""

    def out_of(self, user_id: str, limit: int) -> Sequence[Link]:
        """Return the links of ``user_id``, at most ``limit``, in order."""

    def into(self, same_as: str, limit: int) -> Sequence[Link]:
        """Return the links to ``same_as``, at most ``limit``, in order."""


@dataclass(slots=True)
class People:
    """Who is one person.

    Attributes:
        person: For each id, the name that all ids of its person share; None for those that are alone.
        refused: For each link that counts for nothing, the reason.
    """

    person: dict[str, str | None] = field(default_factory=dict)
    refused: dict[Link, str] = field(default_factory=dict)


def people(user_ids: Iterable[str], links: Links, settings: IdentitySettings) -> People:
    """Return who is one person with any of ``user_ids``, and with those that are no longer."""
    found = People()
    for user_id in user_ids:
        if user_id not in found.person:
            _resolve(user_id, links, settings, found)
    return found


def touched(user_id: str, same_as: str, links: Links, settings: IdentitySettings) -> set[str]:
    """Return the ids whose person may be another, now that a link from ``user_id`` to ``same_as`` has changed."""
    out = links.out_of(user_id, settings.shared_after + 1)
    into = links.into(same_as, settings.max_identities + 1)
    return {user_id, same_as} | {link.same_as for link in out} | {link.user_id for link in into}


def _resolve(start: str, links: Links, settings: IdentitySettings, found: People) -> None:
    """Add to ``found`` everybody whom links connect with ``start``."""
    connected: set[Link] = set()
    reached, waiting = {start}, [start]
    while waiting and len(reached) <= MOST_CONNECTED:
        for link in _counted(waiting.pop(), links, settings, found):
            connected.add(link)
            for end in (link.user_id, link.same_as):
                if end not in reached:
                    reached.add(end)
                    waiting.append(end)
    if waiting:
        found.refused |= dict.fromkeys(connected, f"more than {MOST_CONNECTED} ids are connected")
        connected = set()

    members = {one: [one] for one in reached}
    for link in sorted(connected):
        mine, theirs = members[link.user_id], members[link.same_as]
        if mine is theirs:
            continue
        together = mine + theirs
        reason = _refusal(together, settings)
        if reason:
            found.refused[link] = reason
            continue
        for one in together:
            members[one] = together
    found.person |= {one: min(theirs) if len(theirs) > 1 else None for one, theirs in members.items()}


MOST_CONNECTED: Final = 1_000
"""Where links connect more ids than this, something is wrong with them, and none of them counts."""


def _refusal(together: list[str], settings: IdentitySettings) -> str | None:
    if len(together) > settings.max_identities:
        return f"a person has at most {settings.max_identities} ids"
    unique = [one.partition(":")[0] if ":" in one else "" for one in together if settings.namespace(one).unique]
    for name in unique:
        if unique.count(name) > 1:
            return f"a person has at most one id of the namespace {name!r}"
    return None


def _counted(user_id: str, links: Links, settings: IdentitySettings, found: People) -> list[Link]:
    """Return the links at ``user_id`` that are not refused by what is known of their two ends alone."""
    counted = []
    out = links.out_of(user_id, settings.shared_after + 1)
    for link in [*out, *links.into(user_id, settings.max_identities)]:
        reason = None
        first = links.into(link.same_as, settings.max_identities) if link.user_id == user_id else (link,)
        if link.user_id == link.same_as or not (settings.allows(link.user_id) and settings.allows(link.same_as)):
            reason = "ids of this kind are not linked"
        elif len(links.out_of(link.user_id, settings.shared_after + 1)) > settings.shared_after:
            reason = f"{link.user_id} is shared: it was said to be more than {settings.shared_after} others"
        elif link not in first:
            reason = f"a person has at most {settings.max_identities} ids"
        if reason:
            found.refused[link] = reason
        else:
            counted.append(link)
    return counted
