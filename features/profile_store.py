"""Where profiles are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, runtime_checkable

from numpy.random import Generator

from features.counters import FIRST_CUSTOM_TYPE, FIRST_NAME, OTHER_TYPES
from features.database import transaction
from features.events import STANDARD_EVENT_TYPES
from features.identity import IdentitySettings, Link, people, touched
from features.profiles import Numbers, Profile
from features.remembered import forget_older_half

KEPT_INTERACTIONS: Final = 2_000
"""How many interactions of each identity a store keeps, the last ones."""

_STANDARD: Final = {name: code for code, name in enumerate(STANDARD_EVENT_TYPES)}
_EVENT_TYPE: Final = "event_type"


@dataclass(frozen=True, slots=True)
class Person:
    """Who stands behind an id.

    Attributes:
        identities: All ids of the person, in order; empty where nothing is known of the one asked for.
        profile: The sum of their profiles.
        version: Number of the last event that it holds; 0 for none.
    """

    identities: tuple[str, ...]
    profile: Profile
    version: int


@dataclass(frozen=True, slots=True)
class Account:
    """An organisation: who belongs to it, by the ids that said so, and the sum of the members' profiles."""

    members: tuple[str, ...]
    profile: Profile


NOBODY: Final = Person((), Profile.empty(), 0)


@runtime_checkable
class ProfileStore(Protocol):
    """Keeps one profile for each identity, and which identities are one person."""

    @property
    def numbers(self) -> Numbers:
        """What gives a number to what has none yet."""

    def person(self, user_id: str) -> Person:
        """Return who stands behind ``user_id``; ``NOBODY`` where nothing is known."""

    def add(self, profiles: Iterable[tuple[str, Profile]], version: int) -> None:
        """Add to the profile of each identity what further events tell, the last of which is ``version``."""

    def link(self, user_id: str, same_as: str, timestamp_us: int, holds: bool, version: int) -> None:
        """Take in that at a time ``user_id`` was said to be ``same_as``, or not to be any more; event ``version``."""

    def refused_links(self, user_id: str) -> dict[Link, str]:
        """Return the links at ``user_id``, and at those connected with it, that count for nothing, with the reason."""

    def erase(self, user_id: str) -> None:
        """Forget an identity and its links; nothing else of its person."""

    def user_ids(self, prefix: str = "", limit: int | None = None) -> list[str]:
        """Return the ids that begin with ``prefix``, in order of their UTF-8 bytes, at most ``limit``."""

    def sample(self, n: int, rng: Generator) -> list[str]:
        """Return ``n`` ids drawn at random without repetition, each person once; all where there are no more."""

    def account(self, account_id: str) -> Account:
        """Return the account; one without members where nobody says that they belong to it."""

    def item_numbers(self, after: int = 0) -> list[tuple[int, str]]:
        """Return number and id of each item whose number is above ``after``, in order."""

    def item_ids(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the ids of the items with these numbers."""

    def named(self, number: int) -> tuple[str, str]:
        """Return the field and the name that ``number`` stands for in the counts of a profile."""

    def type_numbers(self) -> dict[str, int]:
        """Return the number of each event type that profiles may hold."""

    def people(self) -> int:
        """Return how many people there are; identities that are one person count once."""

    def __len__(self) -> int:
        """Return how many identities there are."""


class SQLiteNumbers:
    """Numbers that a database keeps."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._items: dict[str, int] = {}
        self._known: dict[tuple[str, str], int] = {}
        # What was given in a transaction is remembered from the next one on: it may be undone with it.
        self._given: set[str | tuple[str, str]] = set()
        self._given_in = 0

    def item(self, item_id: str) -> int:
        """Return the number of an item."""
        number = self._items.get(item_id)
        if number is not None:
            return number
        find = "SELECT number FROM item_numbers WHERE item_id = ?"
        found = self._database.execute(find, (item_id,)).fetchone()
        if found is None:
            give = "INSERT INTO item_numbers (item_id) VALUES (?) RETURNING number"
            found = self._database.execute(give, (item_id,)).fetchone()
            self._given_now().add(item_id)
        elif item_id not in self._given_now():
            _remember(self._items, item_id, int(found[0]))
        return int(found[0])

    def event_type(self, name: str) -> int:
        """Return the number of an event type."""
        code = _STANDARD.get(name)
        return self._number(_EVENT_TYPE, name, FIRST_CUSTOM_TYPE, OTHER_TYPES) if code is None else code

    def named(self, field: str, name: str) -> int:
        """Return the number of a name in the context."""
        return self._number(field, name, FIRST_NAME, None)

    def _number(self, field: str, name: str, first: int, end: int | None) -> int:
        number = self._known.get((field, name))
        if number is not None:
            return number
        found = self._database.execute(
            "SELECT number FROM name_numbers WHERE (field, name) = (?, ?)", (field, name)
        ).fetchone()
        if found is not None:
            if (field, name) not in self._given_now():
                _remember(self._known, (field, name), int(found[0]))
            return int(found[0])
        where = "number >= ?" if end is None else f"number BETWEEN ? AND {end}"
        last = self._database.execute(f"SELECT max(number) FROM name_numbers WHERE {where}", (first,)).fetchone()[0]
        number = first if last is None else int(last) + 1
        if number == end:
            return number
        self._given_now().add((field, name))
        self._database.execute("INSERT INTO name_numbers VALUES (?, ?, ?)", (number, field, name))
        return number

    def _given_now(self) -> set[str | tuple[str, str]]:
        """Return what was given a number in the transaction that is open."""
        this_transaction = getattr(self._database, "transactions", 0)
        if self._given_in != this_transaction:
            self._given_in = this_transaction
            self._given.clear()
        return self._given


REMEMBERED: Final = 50_000
"""So many numbers of items, and of names, are kept at hand: about 8 MB."""

K = TypeVar("K")


def _remember(known: dict[K, int], name: K, number: int) -> None:
    if len(known) >= REMEMBERED:
        forget_older_half(known)
    known[name] = number


class SQLiteProfileStore:
    """Profiles in the database of a run-time folder; writing becomes part of the transaction that is open."""

    def __init__(
        self,
        database: sqlite3.Connection,
        settings: IdentitySettings | None = None,
        kept_interactions: int = KEPT_INTERACTIONS,
    ) -> None:
        self._database = database
        self._settings = settings or IdentitySettings()
        self._links = _SQLiteLinks(database)
        self._kept = kept_interactions
        self.numbers = SQLiteNumbers(database)

    def person(self, user_id: str) -> Person:
        """Return who stands behind ``user_id``."""
        found = self._database.execute(_FIND, (user_id,)).fetchone()
        if found is None:
            return NOBODY
        person, version, profile = found
        if person is None:
            return Person((user_id,), Profile.from_bytes(profile), version)
        rows = self._database.execute(_MEMBERS, (person,)).fetchall()
        parts = (Profile.from_bytes(profile) for _, _, profile in rows)
        return Person(
            tuple(user_id for user_id, _, _ in rows), Profile.total(parts), max(version for _, version, _ in rows)
        )

    def add(self, profiles: Iterable[tuple[str, Profile]], version: int) -> None:
        """Add to the profile of each identity what further events tell."""
        with transaction(self._database):
            self._database.executemany(_PUT, (self._sum(user_id, more, version) for user_id, more in profiles))

    def _sum(self, user_id: str, more: Profile, version: int) -> tuple[str, str | None, int, bytes]:
        """Return the row of ``user_id`` with ``more`` added."""
        found = self._database.execute(_FIND, (user_id,)).fetchone()
        profile = (more if found is None else Profile.from_bytes(found[2]) + more).last(self._kept)
        return user_id, profile.account_id, version, profile.to_bytes()

    def link(self, user_id: str, same_as: str, timestamp_us: int, holds: bool, version: int) -> None:
        """Take in that ``user_id`` was said to be ``same_as``, or not to be any more."""
        with transaction(self._database):
            for one in (user_id, same_as):
                self._database.execute(_INSERT_EMPTY, (version, Profile.empty().to_bytes(), one))
            said = (timestamp_us, timestamp_us, None) if holds else (None, None, timestamp_us)
            self._database.execute(_LINK, (user_id, same_as, *said))
            self._regroup(touched(user_id, same_as, self._links, self._settings), version)

    def _regroup(self, user_ids: set[str], version: int) -> None:
        for user_id, person in people(user_ids, self._links, self._settings).person.items():
            self._database.execute(_GROUP, (person, version, user_id, person))

    def refused_links(self, user_id: str) -> dict[Link, str]:
        """Return the links at ``user_id``, and at those connected with it, that count for nothing, with the reason."""
        return people([user_id], self._links, self._settings).refused

    def erase(self, user_id: str) -> None:
        """Forget an identity and its links."""
        with transaction(self._database):
            affected = self._database.execute(_PARTNERS, (user_id, user_id)).fetchall()
            version = self._database.execute("SELECT max(version) FROM profiles").fetchone()[0]
            self._database.execute("DELETE FROM links WHERE user_id = ? OR same_as = ?", (user_id, user_id))
            self._database.execute("DELETE FROM profiles WHERE user_id = ?", (user_id,))
            self._regroup({partner for (partner,) in affected}, version)

    def user_ids(self, prefix: str = "", limit: int | None = None) -> list[str]:
        """Return the ids that begin with ``prefix``, in order."""
        behind = f"{prefix}\U0010ffff"
        query = "SELECT user_id FROM profiles WHERE user_id >= ? AND user_id < ? ORDER BY user_id LIMIT ?"
        found = self._database.execute(query, (prefix, behind, -1 if limit is None else limit))
        return [user_id for (user_id,) in found]

    def sample(self, n: int, rng: Generator) -> list[str]:
        """Return ``n`` ids drawn at random without repetition, each person once."""
        last = self._database.execute("SELECT max(number) FROM profiles").fetchone()[0] or 0
        if n >= len(self) or last > 4 * len(self):
            everybody = [user_id for (user_id,) in self._database.execute(_EACH_PERSON)]
            drawn = rng.permutation(len(everybody))[:n]
            return [everybody[at] for at in drawn.tolist()]
        chosen: dict[str, None] = {}
        find = f"{_EACH_PERSON} AND number = ?"
        for number in _distinct_draws(last, rng):
            for (user_id,) in self._database.execute(find, (number,)):
                chosen[user_id] = None
            if len(chosen) == n:
                break
        return list(chosen)

    def account(self, account_id: str) -> Account:
        """Return the account."""
        find = "SELECT user_id, coalesce(person, user_id) FROM profiles WHERE account_id = ? ORDER BY user_id"
        people = {person: user_id for user_id, person in self._database.execute(find, (account_id,)).fetchall()}
        members = [self.person(user_id) for user_id in people.values()]
        theirs = [member for member in members if member.profile.account_id == account_id]
        return Account(
            tuple(sorted(user_id for member in theirs for user_id in member.identities)),
            Profile.total(member.profile for member in theirs),
        )

    def item_numbers(self, after: int = 0) -> list[tuple[int, str]]:
        """Return number and id of each item whose number is above ``after``, in order."""
        query = "SELECT number, item_id FROM item_numbers WHERE number > ? ORDER BY number"
        return self._database.execute(query, (after,)).fetchall()

    def item_ids(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the ids of the items with these numbers."""
        find = "SELECT item_id FROM item_numbers WHERE number = ?"
        return {number: str(self._database.execute(find, (number,)).fetchone()[0]) for number in set(numbers)}

    def named(self, number: int) -> tuple[str, str]:
        """Return the field and the name that ``number`` stands for."""
        found = self._database.execute("SELECT field, name FROM name_numbers WHERE number = ?", (number,)).fetchone()
        return str(found[0]), str(found[1])

    def type_numbers(self) -> dict[str, int]:
        """Return the number of each event type that profiles may hold."""
        find = "SELECT name, number FROM name_numbers WHERE field = ? ORDER BY number"
        return _STANDARD | dict(self._database.execute(find, (_EVENT_TYPE,)).fetchall())

    def people(self) -> int:
        """Return how many people there are."""
        grouped = "SELECT count(*) - count(DISTINCT person) FROM profiles WHERE person IS NOT NULL"
        return len(self) - int(self._database.execute(grouped).fetchone()[0])

    def __len__(self) -> int:
        """Return how many identities there are."""
        return int(self._database.execute("SELECT count(*) FROM profiles").fetchone()[0])


_FIND: Final = "SELECT person, version, profile FROM profiles WHERE user_id = ?"
_MEMBERS: Final = "SELECT user_id, version, profile FROM profiles WHERE person = ? ORDER BY user_id"
_PUT: Final = """INSERT INTO profiles (user_id, account_id, version, profile) VALUES (?, ?, ?, ?)
    ON CONFLICT (user_id) DO UPDATE SET account_id = excluded.account_id, version = max(version, excluded.version),
    profile = excluded.profile"""
_EACH_PERSON: Final = "SELECT user_id FROM profiles WHERE (person IS NULL OR person = user_id)"


_INSERT_EMPTY: Final = (
    "INSERT INTO profiles (version, profile, user_id) VALUES (?, ?, ?) ON CONFLICT (user_id) DO NOTHING"
)
_LINK: Final = """INSERT INTO links VALUES (?, ?, ?, ?, ?) ON CONFLICT (user_id, same_as) DO UPDATE SET
    first_us = min(coalesce(first_us, excluded.first_us), coalesce(excluded.first_us, first_us)),
    last_us = max(coalesce(last_us, excluded.last_us), coalesce(excluded.last_us, last_us)),
    ended_us = max(coalesce(ended_us, excluded.ended_us), coalesce(excluded.ended_us, ended_us))"""
_GROUP: Final = "UPDATE profiles SET person = ?, version = max(version, ?) WHERE user_id = ? AND person IS NOT ?"
_PARTNERS: Final = "SELECT same_as FROM links WHERE user_id = ? UNION SELECT user_id FROM links WHERE same_as = ?"
_HOLDS: Final = "last_us IS NOT NULL AND (ended_us IS NULL OR last_us > ended_us)"


class _SQLiteLinks:
    """The links that hold, in a database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def out_of(self, user_id: str, limit: int) -> list[Link]:
        return self._links("user_id", user_id, limit)

    def into(self, same_as: str, limit: int) -> list[Link]:
        return self._links("same_as", same_as, limit)

    def _links(self, end: str, user_id: str, limit: int) -> list[Link]:
        query = f"""SELECT first_us, user_id, same_as FROM links WHERE {end} = ? AND {_HOLDS}
            ORDER BY first_us, user_id, same_as LIMIT ?"""
        return [Link(*row) for row in self._database.execute(query, (user_id, limit))]


def _distinct_draws(last: int, rng: Generator) -> Iterator[int]:
    """Yield the numbers from 1 to ``last`` in random order."""
    drawn: set[int] = set()
    while len(drawn) < last:
        for number in rng.integers(1, last + 1, size=256).tolist():
            if number not in drawn:
                drawn.add(number)
                yield number


class MemoryNumbers:
    """Numbers that are gone with the process."""

    def __init__(self) -> None:
        self.items: dict[str, int] = {}
        self.types: dict[str, int] = {}
        self.names: dict[tuple[str, str], int] = {}

    def item(self, item_id: str) -> int:
        """Return the number of an item."""
        return self.items.setdefault(item_id, len(self.items) + 1)

    def event_type(self, name: str) -> int:
        """Return the number of an event type."""
        code = _STANDARD.get(name)
        if code is not None:
            return code
        if name not in self.types and len(self.types) == OTHER_TYPES - FIRST_CUSTOM_TYPE:
            return OTHER_TYPES
        return self.types.setdefault(name, FIRST_CUSTOM_TYPE + len(self.types))

    def named(self, field: str, name: str) -> int:
        """Return the number of a name in the context."""
        return self.names.setdefault((field, name), FIRST_NAME + len(self.names))


class _MemoryLinks:
    """The links that were ever said, in memory."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    def add(self, user_id: str, same_as: str, timestamp_us: int, holds: bool) -> None:
        begun, ended = self._said.setdefault((user_id, same_as), ([], []))
        (begun if holds else ended).append(timestamp_us)

    def forget(self, user_id: str) -> set[str]:
        gone = [pair for pair in self._said if user_id in pair]
        for pair in gone:
            del self._said[pair]
        return {one for pair in gone for one in pair} - {user_id}

    def out_of(self, user_id: str, limit: int) -> list[Link]:
        return [link for link in self._holding() if link.user_id == user_id][:limit]

    def into(self, same_as: str, limit: int) -> list[Link]:
        return [link for link in self._holding() if link.same_as == same_as][:limit]

    def _holding(self) -> list[Link]:
        said = self._said.items()
        return sorted(Link(min(b), *pair) for pair, (b, ended) in said if b and max(b) > max(ended, default=-1))


class MemoryProfileStore:
    """Profiles in memory, for tests and simulations."""

    def __init__(self, settings: IdentitySettings | None = None, kept_interactions: int = KEPT_INTERACTIONS) -> None:
        self._settings = settings or IdentitySettings()
        self._links = _MemoryLinks()
        self._kept = kept_interactions
        self._profiles: dict[str, tuple[int, Profile]] = {}
        self._person: dict[str, str] = {}
        self.numbers = MemoryNumbers()

    def person(self, user_id: str) -> Person:
        """Return who stands behind ``user_id``."""
        if user_id not in self._profiles:
            return NOBODY
        person = self._person.get(user_id)
        identities = [one for one, theirs in self._person.items() if theirs == person] if person else [user_id]
        rows = [self._profiles[one] for one in sorted(identities)]
        return Person(
            tuple(sorted(identities)),
            Profile.total(profile for _, profile in rows),
            max(version for version, _ in rows),
        )

    def add(self, profiles: Iterable[tuple[str, Profile]], version: int) -> None:
        """Add to the profile of each identity what further events tell."""
        for user_id, more in profiles:
            last, profile = self._profiles.get(user_id, (0, Profile.empty()))
            self._profiles[user_id] = max(last, version), (profile + more).last(self._kept)

    def link(self, user_id: str, same_as: str, timestamp_us: int, holds: bool, version: int) -> None:
        """Take in that ``user_id`` was said to be ``same_as``, or not to be any more."""
        for one in (user_id, same_as):
            self._profiles.setdefault(one, (version, Profile.empty()))
        self._links.add(user_id, same_as, timestamp_us, holds)
        self._regroup(touched(user_id, same_as, self._links, self._settings), version)

    def _regroup(self, user_ids: set[str], version: int) -> None:
        for user_id, person in people(user_ids, self._links, self._settings).person.items():
            if person != self._person.get(user_id):
                last, profile = self._profiles[user_id]
                self._profiles[user_id] = max(last, version), profile
                self._person.pop(user_id, None)
                if person is not None:
                    self._person[user_id] = person

    def refused_links(self, user_id: str) -> dict[Link, str]:
        """Return the links at ``user_id``, and at those connected with it, that count for nothing, with the reason."""
        return people([user_id], self._links, self._settings).refused

    def erase(self, user_id: str) -> None:
        """Forget an identity and its links."""
        version = max((version for version, _ in self._profiles.values()), default=0)
        self._profiles.pop(user_id, None)
        self._person.pop(user_id, None)
        self._regroup(self._links.forget(user_id), version)

    def user_ids(self, prefix: str = "", limit: int | None = None) -> list[str]:
        """Return the ids that begin with ``prefix``, in order."""
        found = (user_id for user_id in self._profiles if user_id.startswith(prefix))
        return sorted(found, key=str.encode)[:limit]

    def sample(self, n: int, rng: Generator) -> list[str]:
        """Return ``n`` ids drawn at random without repetition, each person once."""
        everybody = [user_id for user_id in self._profiles if self._person.get(user_id, user_id) == user_id]
        return [everybody[at] for at in rng.permutation(len(everybody))[:n].tolist()]

    def account(self, account_id: str) -> Account:
        """Return the account."""
        said = {one for one, (_, profile) in self._profiles.items() if profile.account_id == account_id}
        people = {self._person.get(user_id, user_id): self.person(user_id) for user_id in sorted(said)}
        theirs = [person for person in people.values() if person.profile.account_id == account_id]
        return Account(
            tuple(sorted(user_id for person in theirs for user_id in person.identities)),
            Profile.total(person.profile for person in theirs),
        )

    def item_numbers(self, after: int = 0) -> list[tuple[int, str]]:
        """Return number and id of each item whose number is above ``after``, in order."""
        return [(number, item_id) for item_id, number in self.numbers.items.items() if number > after]

    def item_ids(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the ids of the items with these numbers."""
        known = dict(self.item_numbers())
        return {number: known[number] for number in set(numbers)}

    def named(self, number: int) -> tuple[str, str]:
        """Return the field and the name that ``number`` stands for."""
        return next(name for name, theirs in self.numbers.names.items() if theirs == number)

    def type_numbers(self) -> dict[str, int]:
        """Return the number of each event type that profiles may hold."""
        return _STANDARD | self.numbers.types

    def people(self) -> int:
        """Return how many people there are."""
        return len({self._person.get(user_id, user_id) for user_id in self._profiles})

    def __len__(self) -> int:
        """Return how many identities there are."""
        return len(self._profiles)
