"""RunSpec -> the spec of that run alone, flat: imports inlined, `extends` and `let` gone, every default written out.

The text is `resolved.moe`: resolving it again gives the same run, and expanding that the same text. A field that has no
effect beside the others is left out. Asserts stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from moec.compiler.literal import literal
from moec.compiler.resolve_block import has_effect
from moec.compiler.run_values import run_values
from moec.compiler.typed import AssertSpec, RunSpec
from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.table import EDITION, TABLE
from moec.spec.fields.types import ListType, NumberType
from moec.spec.formatter import format_file
from moec.spec.source import Sources, Span
from moec.spec.syntax import Assert, Block, Expression, Field, File, Item, Name, Number, String, Trivia
from moec.spec.values import Many, Quantity, Value

_SPAN = Span("", 0, 0)
"""What is written here stands nowhere yet."""

_Remark = Callable[[str], str | None]
"""A path in the run -> the comment behind its field, None for no comment."""


def expand_run(run: RunSpec) -> str:
    """The text of `resolved.moe`."""
    return format_file(_file(run, lambda path: None))


def expand_with_origins(run: RunSpec, sources: Sources) -> str:
    """The same text with a comment behind each value on where it comes from: `base.moe:12`, or `default`."""

    def remark(path: str) -> str | None:
        span = run.origins.get(path)
        if path not in run.written or span is None or span.file not in sources:
            return " default"
        position = sources[span.file].position(span.start)
        return f" {span.file}:{position.line}"

    return format_file(_file(run, remark))


def _file(run: RunSpec, remark: _Remark) -> File:
    """The run's blocks; those of the run that its budget is measured against come first, each block once."""
    others = _blocks(run.reference, lambda path: None) if run.reference else ()
    own = _blocks(run, remark)
    mine = {_title(block) for block in own}
    kept = (block for block in others if _title(block) not in mine)
    edition = Field(Name("edition", _SPAN), Number(str(EDITION), _SPAN), _SPAN)
    return File((edition, *kept, *own), _SPAN)


def _title(block: Block) -> tuple[str, str]:
    """What no two blocks of a file share."""
    assert block.label is not None, "the blocks of a file have names"
    return block.kind.text, block.label.text


def _blocks(run: RunSpec, remark: _Remark) -> tuple[Block, ...]:
    writer = _Writer(run_values(run), remark)
    docs = {"model": run.model.doc, "mesh": run.mesh.doc, "budget": run.budget.doc}
    names = {"model": run.model.name, "mesh": run.mesh.name, "budget": run.budget.name}
    if run.data:
        docs["data"], names["data"] = run.data.doc, run.data.name
    blocks = [
        writer.top_block(info, names[info.path], docs[info.path], f"{info.path}.")
        for info in TABLE
        if info.path in names
    ]
    (run_info,) = (info for info in TABLE if info.path == "run")
    own = writer.top_block(run_info, run.name, run.doc, "", tuple(_assert(one) for one in run.asserts))
    return (*blocks, own)


class _Writer:
    def __init__(self, values: Mapping[str, Value], remark: _Remark) -> None:
        self.values = values
        self.remark = remark

    def top_block(self, info: BlockInfo, name: str, doc: str, prefix: str, asserts: tuple[Assert, ...] = ()) -> Block:
        items = (*self._items(info, prefix), *asserts)
        return Block(Name(info.path, _SPAN), Name(name, _SPAN), None, items, _SPAN, doc, on_one_line=False)

    def _items(self, info: BlockInfo, prefix: str) -> tuple[Item, ...]:
        found = {
            field.name: self.values[prefix + field.name] for field in info.fields if prefix + field.name in self.values
        }
        fields = (
            self._field(field, found[field.name], prefix)
            for field in info.fields
            if field.name in found and has_effect(field, found)
        )
        return (*fields, *self._inner(info, prefix))

    def _inner(self, info: BlockInfo, prefix: str) -> tuple[Block, ...]:
        blocks = []
        for inner in info.blocks:
            items = self._items(inner, f"{prefix}{inner.name}.")
            if items:
                blocks.append(Block(Name(inner.name, _SPAN), None, None, items, _SPAN, on_one_line=False))
        return tuple(blocks)

    def _field(self, field: FieldInfo, value: Value, prefix: str) -> Field:
        behind = self.remark(prefix + field.name)
        return Field(Name(field.name, _SPAN), _written(field, value), _SPAN, trivia=Trivia(behind=behind))


def _written(field: FieldInfo, value: Value) -> Expression:
    """As the field's example does it: hours as a plain number, a single source without brackets."""
    if isinstance(value, Quantity) and isinstance(field.type, NumberType) and field.type.bare is not None:
        return literal(Quantity(Fraction(value.amount) / field.type.bare), _SPAN)
    if isinstance(value, Many) and isinstance(field.type, ListType) and field.type.single and len(value.items) == 1:
        return literal(value.items[0], _SPAN)
    return literal(value, _SPAN)


def _assert(one: AssertSpec) -> Assert:
    return Assert(one.condition, String(one.why, _SPAN) if one.why else None, _SPAN)
