"""The errors that a user of Attune can cause, and can mend."""

from __future__ import annotations

from typing import ClassVar


class AttuneError(Exception):
    """A mistake in what was given; the message says what was given, what is allowed and what to do.

    Commands print the message and exit with status 2; the service answers with ``status`` and a JSON body.
    """

    status = 400


class InvalidInput(AttuneError):
    """A value, a file or a configuration key is not what is allowed there."""


class InvalidField(InvalidInput):
    """A field of a record is not what is allowed, or the whole of it is not.

    Attributes:
        field: The field at fault; empty where it is the whole record.
        reason: What is allowed there.
    """

    record: ClassVar[str] = "record"
    """What the whole is called."""

    def __init__(self, field: str, reason: str, given: object) -> None:
        shown = repr(given)
        where = field or self.record
        super().__init__(f"{where} {reason}; given {shown if len(shown) <= 80 else shown[:77] + '...'}.")
        self.field = field
        self.reason = reason


class NotFound(AttuneError):
    """Something named does not exist (an item, a snapshot, a bundle, a recipe, a model)."""

    status = 404


class Corrupt(AttuneError):
    """Stored data is damaged, incomplete, or was written by a newer version."""

    status = 503


class Unavailable(AttuneError):
    """Something needed is missing at the moment (no bundle promoted yet, a port taken)."""

    status = 503


class Busy(AttuneError):
    """More waits to be written than can be soon; what was given was not taken.

    Attributes:
        retry_after_s: When to try again.
    """

    status = 429
    retry_after_s = 1
