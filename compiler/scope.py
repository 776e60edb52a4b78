"""What a name in a spec is worth: fields with their defaults, `let`s, blocks of this file and of those it uses.

Each field and each `let` is worked out once, when something first asks for it; what is wrong with it is told then,
and never again for what follows from it. A `Place` is where an expression stands: a block, or a block inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from moec.compiler.defaults import default_expression
from moec.spec.blocks import Spec, SpecBlock, SpecField
from moec.spec.codes import names as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.expressions import Environment, evaluate
from moec.spec.fields.convert import convert, decimal_warning
from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.table import block_info
from moec.spec.fields.types import BlockType, ListType, NumberType, words_of
from moec.spec.limits import MAX_DIAGNOSTICS
from moec.spec.near import nearest
from moec.spec.source import Span
from moec.spec.syntax import Broken, Expression, ListOf, Name, Reference
from moec.spec.values import BlockName, Error, Value, Word

ASSERT_NAMES = ("plan", "hardware")
"""What only an `assert` can speak of."""


_MOST_NAMES: Final = 1000
"""So many names are looked through for what an unknown one meant. Assumption: no one wrote more by hand."""


@dataclass(frozen=True, slots=True)
class Place:
    """The block `root`, or the block inside it that `inner` leads to, whether anyone has written that or not."""

    root: SpecBlock
    inner: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return ".".join((self.root.path, *self.inner))

    @property
    def info(self) -> BlockInfo:
        info = block_info(self.path)
        assert info is not None, self.path
        return info

    @property
    def block(self) -> SpecBlock | None:
        """What is written there, None where nothing is."""
        block: SpecBlock | None = self.root
        for name in self.inner:
            block = block.blocks.get(name) if block else None
        return block

    @property
    def key(self) -> tuple[str, ...]:
        return (self.root.file, self.root.path, self.root.name, *self.inner)

    @property
    def span(self) -> Span:
        """The block itself, or the nearest one around it that is written."""
        return self.block.span if self.block else self.outer.span

    @property
    def outer(self) -> Place:
        return Place(self.root, self.inner[:-1])

    @property
    def outermost(self) -> Place:
        return Place(self.root)

    def inside(self, name: str) -> Place:
        return Place(self.root, (*self.inner, name))

    def upwards(self) -> Iterator[Place]:
        """This place and those around it, from the inside out."""
        for depth in range(len(self.inner), -1, -1):
            yield Place(self.root, self.inner[:depth])

    def written(self, name: str) -> SpecField | None:
        """The field as someone wrote it here, None where no one did."""
        return self.block.fields.get(name) if self.block else None


@dataclass(frozen=True, slots=True)
class LetName:
    """A `let` of a file."""

    file: str
    name: str


Target = tuple[Place, str] | LetName | BlockName
"""What a reference leads to: the field of a place, a `let`, or a whole block."""


class Scope:
    """Works out values for one spec; `diagnostics` gathers all that is wrong with them."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.diagnostics: list[Diagnostic] = []
        self._known: dict[tuple[str, ...], Value | Error | None] = {}
        self._active: list[tuple[str, ...]] = []
        self._unknown = 0

    def value(self, place: Place, name: str, depth: int = 0) -> Value | Error | None:
        """The value of the field `name` at `place`, its default where it is not written, None where it has none
        either.
        """
        key = (*place.key, name)
        if key not in self._known:
            self._active.append(key)
            self._known[key] = self._work_out(place, name, depth)
            self._active.pop()
        return self._known[key]

    def default(self, place: Place, info: FieldInfo) -> Value | None:
        """The default of the field at `place`, None where it has none or where that cannot be worked out."""
        expression = default_expression(info)
        value = self._evaluate(place, info, expression, 0) if expression else None
        converted = convert(value, info, expression) if expression and value and not isinstance(value, Error) else None
        return None if isinstance(converted, Error) else converted

    def find(self, place: Place, file: str, reference: Reference, depth: int) -> Value | Error:
        """What `reference`, which stands at `place` in `file`, is worth."""
        target = self.target(place, file, reference)
        match target:
            case LetName():
                return self._let(target, reference, depth)
            case (Place() as owner, str() as name):
                return self._field(owner, name, reference, depth, place)
            case _:
                return target

    def target(self, place: Place, file: str, reference: Reference) -> Target | Error:
        """What `reference` leads to."""
        first, rest = reference.parts[0], reference.parts[1:]
        for around in place.upwards():
            if around.info.block(first.text) or _leads_on(around.info.field(first.text), bool(rest)):
                return self._within(around, reference.parts)
        return self._at_top(file, reference, place)

    def words(self, place: Place, file: str, reference: Reference) -> tuple[str, ...]:
        """The words that the field behind `reference` may hold."""
        match self.target(place, file, reference):
            case (Place() as owner, str() as name):
                info = owner.info.field(name)
                return words_of(info.type) if info else ()
            case _:
                return ()

    def environment(self, place: Place, file: str, info: FieldInfo | None = None) -> Environment:
        """What names stand for at `place` in `file`; with `info`, in the value of that field."""

        def find(reference: Reference, depth: int) -> Value | Error:
            return self.find(place, file, reference, depth)

        def words(reference: Reference) -> tuple[str, ...]:
            return self.words(place, file, reference)

        return Environment(find, words, words_of(info.type) if info else ())

    def environment_at_top(self, file: str) -> Environment:
        """What names stand for outside all blocks of `file`: in the value of a `let`."""
        return Environment(lambda reference, depth: self._find_at_top(file, reference, depth))

    def lookup_block(self, file: str, reference: Reference, kind: str) -> BlockName | Error:
        """The block of `kind` that `reference` in `file` names: `dense`, or `base.dense` of a used file."""
        scope = self.spec.scopes[file]
        *aliases, name = (part.text for part in reference.parts)
        owner = file if not aliases else scope.uses.get(aliases[0]) if len(aliases) == 1 else None
        if owner == "":
            return Error()
        if owner is not None and self.spec.block(owner, kind, name):
            return BlockName(kind, name, owner)
        if self._is_enough():
            return Error()
        other = next(iter(self.spec.scopes[owner].named(name)), None) if owner else None
        if other:
            return Error((codes.wrong_kind_of_block(reference.span, kind, name, other.path, other.span),))
        known = (*scope.of_kind(kind), *self._used_blocks(file, kind))
        return Error((codes.no_such_block(reference.span, kind, reference.dotted, known),))

    def _used_blocks(self, file: str, kind: str) -> tuple[str, ...]:
        uses = self.spec.scopes[file].uses.items()
        return tuple(f"{alias}.{name}" for alias, used in uses if used for name in self.spec.scopes[used].of_kind(kind))

    def _work_out(self, place: Place, name: str, depth: int) -> Value | Error | None:
        info = place.info.field(name)
        assert info is not None, name
        written = place.written(name)
        expression = written.value if written else default_expression(info)
        if expression is None:
            return None
        if written and (doubt := decimal_warning(info, expression)):
            self.diagnostics.append(doubt)
        value = self._evaluate(place, info, expression, depth)
        if not isinstance(value, Error):
            value = convert(value, info, expression)
        return self._tell(value)

    def _evaluate(self, place: Place, info: FieldInfo, expression: Expression, depth: int) -> Value | Error:
        file = expression.span.file
        item = info.type.item if isinstance(info.type, ListType) else info.type
        environment = self.environment(place, file, info)
        if isinstance(item, BlockType):
            environment = self._naming_blocks(environment, file, item.kind)
        elif len(environment.expected) and _is_lone_word(expression):
            environment = _taking_words(environment, isinstance(item, NumberType))
        return evaluate(expression, environment, depth)

    def _naming_blocks(self, environment: Environment, file: str, kind: str) -> Environment:
        """As `environment`, where names stand for blocks of `kind` before all else."""

        def find(reference: Reference, depth: int) -> Value | Error:
            return self.lookup_block(file, reference, kind)

        return replace(environment, find=find)

    def _tell(self, value: Value | Error | None) -> Value | Error | None:
        if not isinstance(value, Error):
            return value
        self.diagnostics += value.diagnostics
        return Error()

    def _let(self, let: LetName, reference: Reference, depth: int) -> Value | Error:
        key = ("let", let.file, let.name)
        if key in self._active:
            return self._circle(key, reference.span)
        if key not in self._known:
            written = self.spec.scopes[let.file].lets[let.name].value
            top = Environment(lambda inner, deeper: self._find_at_top(let.file, inner, deeper))
            self._active.append(key)
            self._known[key] = self._tell(evaluate(written, top, depth))
            self._active.pop()
        value = self._known[key]
        assert value is not None
        return value

    def _find_at_top(self, file: str, reference: Reference, depth: int) -> Value | Error:
        """What `reference` stands for outside all blocks."""
        target = self._at_top(file, reference)
        match target:
            case LetName():
                return self._let(target, reference, depth)
            case (Place() as owner, str() as name):
                return self._field(owner, name, reference, depth)
            case _:
                return target

    def _field(
        self, owner: Place, name: str, reference: Reference, depth: int, place: Place | None = None
    ) -> Value | Error:
        key = (*owner.key, name)
        if key in self._active:
            return self._circle(key, reference.span)
        value = self.value(owner, name, depth)
        if value is not None:
            return value
        info = owner.info.field(name)
        if info and info.required and self._is_missed(owner, place):
            return Error()
        return Error((codes.no_value(reference.span, reference.dotted, info.absent if info else ""),))

    def _is_missed(self, owner: Place, place: Place | None) -> bool:
        """Whether it is told of the block that `place` is in, and `owner` too, that a required field is missing
        there.
        """
        root = owner.root
        is_whole = root.file == self.spec.file and (root.path, root.name) not in self.spec.extended
        return is_whole and place is not None and place.root.name == root.name and place.root.path == root.path

    def _circle(self, key: tuple[str, ...], span: Span) -> Error:
        names = tuple(step[-1] for step in self._active[self._active.index(key) :])
        return Error((codes.value_circle(span, names),))

    def _within(self, place: Place, parts: tuple[Name, ...]) -> tuple[Place, str] | Error:
        """The field that `parts` lead to from `place`, through inner blocks and through blocks that fields name."""
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            if place.info.block(part.text):
                place = place.inside(part.text)
                continue
            field = place.info.field(part.text)
            if field is None:
                known = (*(field.name for field in place.info.fields), *(block.name for block in place.info.blocks))
                return Error((codes.unknown_part(part.span, place.path, part.text, known),))
            if last:
                return place, part.text
            block = self._named_block(place, field, part, parts[index + 1])
            if isinstance(block, Error):
                return block
            place = Place(block)
        return Error((codes.block_not_field(parts[-1].span, parts[-1].text),))

    def _named_block(self, place: Place, field: FieldInfo, part: Name, following: Name) -> SpecBlock | Error:
        """The block that the field `part` at `place` names, on the way to the part `following`."""
        if not isinstance(field.type, BlockType):
            return Error((codes.unknown_part(following.span, part.text, following.text, ()),))
        named = self.value(place, part.text)
        if named is None:
            return Error((codes.no_value(part.span, part.text, field.absent),))
        block = self.spec.block(named.file, named.kind, named.name) if isinstance(named, BlockName) else None
        return block or Error()

    def _at_top(self, file: str, reference: Reference, place: Place | None = None) -> Target | Error:
        """What `reference`, at `place` or outside all blocks, leads to among the `let`s and blocks of `file` and its
        imports.
        """
        scope = self.spec.scopes.get(file)
        first, rest = reference.parts[0], reference.parts[1:]
        if scope is None:
            return Error((codes.unknown_name(reference.span, reference.dotted, ()),))
        if first.text in scope.lets and not rest:
            return LetName(file, first.text)
        if first.text in scope.uses and rest:
            used = scope.uses[first.text]
            return self._in_file(used, rest) if used else Error()
        if first.text in ASSERT_NAMES:
            return Error((codes.plan_outside_assert(reference.span, reference.dotted),))
        return self._in_file(file, reference.parts, place)

    def _in_file(self, file: str, parts: tuple[Name, ...], place: Place | None = None) -> Target | Error:
        """What `parts` lead to among the `let`s and blocks of `file`."""
        scope, first = self.spec.scopes[file], parts[0]
        if first.text in scope.lets and len(parts) == 1:
            return LetName(file, first.text)
        named = scope.named(first.text)
        if len(named) > 1:
            places = tuple((block.path, block.span) for block in named)
            return Error((codes.ambiguous(first.span, first.text, places),))
        if not named and self._is_enough():
            return Error()
        if not named:
            return Error((codes.unknown_name(first.span, first.text, self._names(place, file)),))
        if len(parts) == 1:
            return BlockName(named[0].path, first.text, file)
        return self._within(Place(named[0]), parts[1:])

    def _is_enough(self) -> bool:
        """Whether so many names were unknown that no one needs to hear of this one. Looking for what was meant takes
        time.
        """
        self._unknown += 1
        return self._unknown > MAX_DIAGNOSTICS

    def _names(self, place: Place | None, file: str) -> tuple[str, ...]:
        """All that a name at `place` could have meant."""
        scope = self.spec.scopes[file]
        fields = [field.name for around in (place.upwards() if place else ()) for field in around.info.fields]
        blocks = [name for _, name in scope.blocks]
        return (*fields, *scope.lets, *blocks, *scope.uses)[:_MOST_NAMES]


def _leads_on(field: FieldInfo | None, further: bool) -> bool:
    """Whether a name can mean `field`, which it must have more behind if it goes `further`."""
    return field is not None and (not further or isinstance(field.type, BlockType))


def _taking_words(environment: Environment, only_near: bool) -> Environment:
    """As `environment`, but an unknown name is an unknown word, so that the field can tell which words it knows.

    With `only_near`, for fields that take numbers, just where the name looks like one of the words.
    """

    def find(reference: Reference, depth: int) -> Value | Error:
        value = environment.find(reference, depth)
        unknown = isinstance(value, Error) and any(told.code == "MOE2004" for told in value.diagnostics)
        if not unknown or len(reference.parts) > 1:
            return value
        near = nearest(reference.dotted, environment.expected)
        return Word(reference.dotted) if near or not only_near else value

    return replace(environment, find=find)


def _is_lone_word(expression: Expression) -> bool:
    """Whether the value is nothing but names, such as only a word or a `let` can be: `swiglu`, `[table, plot]`."""
    if isinstance(expression, ListOf):
        return all(isinstance(item, Reference) for item in expression.items)
    return isinstance(expression, (Reference, Broken))
