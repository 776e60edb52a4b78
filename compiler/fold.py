"""asserts as written -> asserts that speak of one run alone.

In an assert, `let`s and the fields of other blocks become the values that they have, and the run's own fields get
their path in the run: `d_model` in a model becomes `model.d_model`. What is left names nothing but the run, `plan`
and `hardware`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from moec.compiler.literal import literal
from moec.compiler.scope import ASSERT_NAMES, Place, Scope
from moec.compiler.typed import AssertSpec
from moec.spec.codes import names as codes
from moec.spec.expressions import children, evaluate
from moec.spec.syntax import (
    Binary,
    Call,
    Conditional,
    Expression,
    ListOf,
    Name,
    Reference,
    Unary,
)
from moec.spec.values import BlockName, Error


def fold_asserts(scope: Scope, places: Mapping[str, Place]) -> tuple[AssertSpec, ...] | None:
    """The asserts of a run and of all blocks that it names; None where one names what is not there.

    `places` are the run itself under "", and its blocks under the names of the fields that name them.
    """
    folder = _Folder(scope, {place.key: prefix for prefix, place in places.items()})
    return folder.fold_all(list(places.values()))


class _Folder:
    def __init__(self, scope: Scope, prefixes: Mapping[tuple[str, ...], str]) -> None:
        self.scope = scope
        self.prefixes = prefixes
        self.failed = False

    def fold_all(self, places: list[Place]) -> tuple[AssertSpec, ...] | None:
        waiting, found = places, []
        while waiting:
            place, *waiting = waiting
            for written in place.block.asserts if place.block else ():
                condition = self._fold(written.condition, place)
                found.append(AssertSpec(condition, written.why, written.span))
            waiting = [*(place.inside(info.name) for info in place.info.blocks), *waiting]
        return None if self.failed else tuple(found)

    def _fold(self, expression: Expression, place: Place) -> Expression:
        match expression:
            case Reference():
                return self._reference(expression, place)
            case Binary(operator=("==" | "!=")):
                return self._equality(expression, place)
            case Binary():
                return replace(
                    expression, left=self._fold(expression.left, place), right=self._fold(expression.right, place)
                )
            case Unary():
                return replace(expression, operand=self._fold(expression.operand, place))
            case Conditional():
                then, condition, otherwise = (self._fold(part, place) for part in children(expression))
                return Conditional(then, condition, otherwise, expression.span)
            case Call():
                return replace(expression, arguments=self._all(expression.arguments, place))
            case ListOf():
                return replace(expression, items=self._all(expression.items, place))
            case _:
                return expression

    def _all(self, parts: tuple[Expression, ...], place: Place) -> tuple[Expression, ...]:
        return tuple(self._fold(part, place) for part in parts)

    def _equality(self, expression: Binary, place: Place) -> Expression:
        """A side that is a word of the field on the other side stays a word."""
        left, right = expression.left, expression.right
        if self._is_word(right, left, place):
            return replace(expression, left=self._fold(left, place))
        if self._is_word(left, right, place):
            return replace(expression, right=self._fold(right, place))
        return replace(expression, left=self._fold(left, place), right=self._fold(right, place))

    def _is_word(self, side: Expression, other: Expression, place: Place) -> bool:
        if not (isinstance(side, Reference) and isinstance(other, Reference)):
            return False
        return side.dotted in self.scope.words(place, other.span.file, other)

    def _reference(self, reference: Reference, place: Place) -> Expression:
        if reference.parts[0].text in ASSERT_NAMES:
            return reference
        target = self.scope.target(place, reference.span.file, reference)
        if isinstance(target, tuple) and target[0].outermost.key in self.prefixes:
            return self._with_path(reference, *target)
        value = evaluate(reference, self.scope.environment(place, reference.span.file))
        if isinstance(value, BlockName):
            value = Error((codes.block_not_field(reference.span, value.name),))
        if isinstance(value, Error):
            self.failed = True
            self.scope.diagnostics += value.diagnostics
            return reference
        return literal(value, reference.span)

    def _with_path(self, reference: Reference, owner: Place, name: str) -> Expression:
        prefix = self.prefixes[owner.outermost.key]
        path = (*((prefix,) if prefix else ()), *owner.inner, name)
        return Reference(tuple(Name(part, reference.span) for part in path), reference.span)
