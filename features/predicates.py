"""Conditions in SQL on what is known of a visitor: ``visits_7d >= 2 AND affinity('category', 'Shoes') > 0.6``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from features.errors import InvalidInput
from features.fields import Scalar
from features.profile_values import NAMES as OF_PROFILES

Values = Mapping[str, Scalar | None]
Part = Callable[[Values], Any]
"""A part of an expression: takes the values, returns its own, None where it is unknown."""

MAX_LENGTH: Final = 2_000
MAX_DEPTH: Final = 40
NAMES: Final = frozenset(OF_PROFILES)
"""The names that every visitor has a value of; see ``ProfileValues``."""
OPEN: Final = ("attributes", "context", "segment")
"""``attributes.NAME``, ``context.NAME`` and ``segment.NAME`` may be any; unknown where nothing is known."""
FUNCTIONS: Final = ("affinity", "abs", "coalesce", "length", "lower", "starts_with", "upper")


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition, ready to be asked; two of the same expression are equal.

    Attributes:
        expression: As it was written.
        names: Of the values that it asks for; ``affinity.DIMENSION.VALUE`` for ``affinity('DIMENSION', 'VALUE')``.
    """

    expression: str
    names: frozenset[str] = field(compare=False)
    _part: Part = field(compare=False, repr=False)

    @property
    def segments(self) -> frozenset[str]:
        """The names of the segments that it asks for."""
        return frozenset(name.removeprefix("segment.") for name in self.names if name.startswith("segment."))

    def __call__(self, values: Values) -> bool:
        """Return whether the condition holds; where it cannot be told since a value is unknown, it does not."""
        return self._part(values) is True


@lru_cache(1024)
def predicate(expression: str) -> Predicate:
    """Return the condition that ``expression`` is: a SQL boolean expression.

    It may compare (``=``, ``<>``, ``<``, ``BETWEEN``, ``IN``, ``LIKE``, ``IS NULL``), calculate, combine with ``AND``,
    ``OR`` and ``NOT``, and call ``FUNCTIONS``. Names are those of ``ProfileValues`` (``profile.`` before them is
    allowed), ``attributes.NAME``, ``context.NAME``, and ``segment.NAME``, true for who belongs to the segment. What is
    unknown is NULL, as in SQL.

    Raises:
        InvalidInput: it is anything else.
    """
    tree = _parsed(expression)
    compiler = _Compiler(expression)
    part = compiler.part(tree)
    if not isinstance(_bare(tree), _BOOLEAN):
        raise _refusal(expression, "does not say yes or no")
    return Predicate(expression, frozenset(compiler.names), part)


@lru_cache(1024)
def quantity(expression: str) -> Part:
    """Return what ``expression`` comes to: a SQL expression as in ``predicate``, of whatever type.

    Raises:
        InvalidInput: it is anything else.
    """
    return _Compiler(expression).part(_parsed(expression))


def _parsed(expression: str) -> Any:
    if len(expression) > MAX_LENGTH:
        raise InvalidInput(f"The condition has {len(expression)} characters; {MAX_LENGTH} are allowed.")
    try:
        tree, *more = sqlglot.parse(expression)
    except RecursionError:
        raise _refusal(expression, f"is nested more than {MAX_DEPTH} deep") from None
    except (SqlglotError, ValueError) as error:
        raise _refusal(expression, f"is not understood: {_first_line(error)}") from None
    if tree is None or more:
        raise _refusal(expression, "is more than one" if more else "is empty")
    return tree


def _refusal(expression: str, problem: str) -> InvalidInput:
    return InvalidInput(
        f"The condition {expression!r} {problem}. Example: visits_7d >= 2 AND context.device = 'mobile'."
        f" Functions: {', '.join(FUNCTIONS)}."
    )


def _first_line(error: Exception) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("\n")[0].rstrip(".") or type(error).__name__


def _bare(tree: exp.Expression) -> exp.Expression:
    while isinstance(tree, exp.Paren):
        tree = tree.this
    return tree


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alike(a: object, b: object) -> bool:
    """Return whether two values can be compared: both numbers, both texts or both truth values."""
    return type(a) is type(b) or (_number(a) and _number(b))


def _divided(a: float, b: float) -> float | None:
    return a / b if b else None


_COMPARISONS: Final[dict[type, Callable[[Any, Any], bool]]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
}
_ARITHMETIC: Final[dict[type, Callable[[Any, Any], Any]]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Div: _divided,
}
_OF_TEXT: Final[dict[type, Callable[[str], Any]]] = {exp.Lower: str.lower, exp.Upper: str.upper, exp.Length: len}
_BOOLEAN: Final = (
    *(exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.StartsWith, exp.Boolean),
    *_COMPARISONS,
    exp.Column,
)


class _Compiler:
    """Turns the tree of an expression into nested functions; what it does not know, it refuses."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self.names: set[str] = set()

    def part(self, tree: exp.Expression, depth: int = 0) -> Part:
        """Return what ``tree`` comes to."""
        if depth > MAX_DEPTH:
            raise self._refused(f"is nested more than {MAX_DEPTH} deep")
        kind = type(tree)

        def of(node: Any) -> Part:
            return self.part(node, depth + 1)

        if kind is exp.Paren:
            return of(tree.this)
        if kind is exp.Column:
            return self._value(tree)
        if kind in (exp.Literal, exp.Boolean, exp.Null, exp.Neg):
            return self._constant(tree, of)
        if kind in (exp.And, exp.Or):
            # a chain of one connective is flat, so that its length counts for nothing in the depth
            return _connected([of(node) for node in tree.flatten()], decisive=kind is exp.Or)
        if kind is exp.Not:
            return _strict(lambda a: not a if isinstance(a, bool) else None, of(tree.this))
        if kind in _COMPARISONS:
            compare = _COMPARISONS[kind]
            return _strict(lambda a, b: compare(a, b) if _alike(a, b) else None, of(tree.this), of(tree.expression))
        if kind in _ARITHMETIC:
            calculate = _ARITHMETIC[kind]
            numbers = of(tree.this), of(tree.expression)
            return _strict(lambda a, b: calculate(a, b) if _number(a) and _number(b) else None, *numbers)
        if kind is exp.Is:
            return _is(of(tree.this), self._truth(tree.expression))
        if kind is exp.In and tree.expressions:
            return _in(of(tree.this), [of(node) for node in tree.expressions])
        if kind is exp.Between:
            ends = (
                exp.GTE(this=tree.this, expression=tree.args["low"]),
                exp.LTE(this=tree.this, expression=tree.args["high"]),
            )
            return _connected([of(end) for end in ends], decisive=False)
        if kind in (exp.Like, exp.ILike):
            return self._like(of(tree.this), tree.expression, kind is exp.ILike)
        return self._call(tree, of)

    def _refused(self, problem: str) -> InvalidInput:
        return _refusal(self._expression, problem)

    def _value(self, tree: exp.Expression) -> Part:
        parts = [part.name for part in tree.parts]  # type: ignore[attr-defined]
        if parts[0] == "profile" and len(parts) > 1:
            parts = parts[1:]
        name = ".".join(parts)
        if name not in NAMES and not (parts[0] in OPEN and len(parts) == 2):
            shown = sorted(one for one in NAMES if "." not in one)
            raise self._refused(
                f"asks for {name!r}, which is not known of a visitor (known are {', '.join(shown)}, events.TYPE, "
                "attributes.NAME, context.NAME, segment.NAME)"
            )
        self.names.add(name)
        return lambda values: values.get(name)

    def _constant(self, tree: exp.Expression, of: Callable[[Any], Part]) -> Part:
        if isinstance(tree, exp.Neg):
            return _strict(lambda a: -a if _number(a) else None, of(tree.this))
        constant: Scalar | None = None
        if isinstance(tree, exp.Boolean):
            constant = bool(tree.this)
        elif isinstance(tree, exp.Literal):
            constant = str(tree.this) if tree.is_string else float(tree.this)
        return lambda values: constant

    def _truth(self, tree: exp.Expression) -> bool | None:
        if isinstance(tree, exp.Null):
            return None
        if isinstance(tree, exp.Boolean):
            return bool(tree.this)
        raise self._refused("uses IS with something else than NULL, TRUE and FALSE")

    def _like(self, part: Part, pattern: exp.Expression, ignore_case: bool) -> Part:
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise self._refused("uses LIKE with something else than a text")
        # pieces are looked for one after the other: a single regular expression could take for ever
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        pieces = [
            (re.compile("".join("." if sign == "_" else re.escape(sign) for sign in piece), flags), len(piece))
            for piece in str(pattern.this).split("%")
        ]
        return _strict(lambda text: _is_like(text, pieces) if isinstance(text, str) else None, part)

    def _call(self, tree: exp.Expression, of: Callable[[Any], Part]) -> Part:
        if type(tree) in _OF_TEXT:
            call = _OF_TEXT[type(tree)]
            return _strict(lambda a: call(a) if isinstance(a, str) else None, of(tree.this))
        if isinstance(tree, exp.Abs):
            return _strict(lambda a: abs(a) if _number(a) else None, of(tree.this))
        if isinstance(tree, exp.StartsWith):
            both = of(tree.this), of(tree.expression)
            return _strict(lambda a, b: a.startswith(b) if isinstance(a, str) and isinstance(b, str) else None, *both)
        if isinstance(tree, exp.Coalesce):
            parts = [of(node) for node in (tree.this, *tree.expressions)]
            return lambda values: next((found for part in parts if (found := part(values)) is not None), None)
        if isinstance(tree, exp.Anonymous) and str(tree.this).lower() == "affinity":
            texts = [node for node in tree.expressions if isinstance(node, exp.Literal) and node.is_string]
            if len(texts) != 2 or len(tree.expressions) != 2:
                raise self._refused("must ask affinity('dimension', 'value')")
            name = f"affinity.{texts[0].this}.{texts[1].this}"
            self.names.add(name)
            return lambda values: values.get(name, 0.0)
        what = f"calls {tree.this}" if isinstance(tree, exp.Anonymous) else f"uses {tree.key.upper()}"
        raise self._refused(f"{what}, which is not allowed")


def _strict(call: Callable[..., Any], *parts: Part) -> Part:
    """Return ``call`` of the ``parts``, unknown where one of them is."""
    if len(parts) == 1:
        (one,) = parts
        return lambda values: None if (a := one(values)) is None else call(a)
    one, other = parts
    return lambda values: None if (a := one(values)) is None or (b := other(values)) is None else call(a, b)


def _connected(parts: Sequence[Part], decisive: bool) -> Part:
    """Return OR of ``parts`` where True is ``decisive``, AND where False is."""

    def connected(values: Values) -> bool | None:
        result: bool | None = not decisive
        for part in parts:
            found = part(values)
            if found is decisive:
                return decisive
            if not isinstance(found, bool):
                result = None
        return result

    return connected


def _is(part: Part, truth: bool | None) -> Part:
    return lambda values: part(values) is truth


def _in(part: Part, choices: Sequence[Part]) -> Part:
    def found(value: Any, values: Values) -> bool | None:
        others = [choice(values) for choice in choices]
        if any(_alike(value, other) and value == other for other in others):
            return True
        return None if None in others else False

    return lambda values: None if (value := part(values)) is None else found(value, values)


def _is_like(text: str, pieces: Sequence[tuple[re.Pattern[str], int]]) -> bool:
    """Return whether ``text`` is made of ``pieces``, each with its length, in order and with anything in between."""
    (first, length), *middle = pieces
    if not middle:
        return first.fullmatch(text) is not None
    if first.match(text) is None:
        return False
    last, last_length = middle.pop()
    at, end = length, len(text) - last_length
    for piece, _ in middle:
        there = piece.search(text, at)
        if there is None:
            return False
        at = there.end()
    return at <= end and last.fullmatch(text, end) is not None
