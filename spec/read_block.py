"""syntax block -> spec block: every field and inner block of one block, held against the fields table."""

from __future__ import annotations

from moec.spec.blocks import SpecAssert, SpecBlock, SpecField
from moec.spec.codes import names as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.fields.info import BlockInfo
from moec.spec.fields.table import all_fields
from moec.spec.limits import MAX_DIAGNOSTICS
from moec.spec.near import nearest
from moec.spec.source import Span
from moec.spec.syntax import Assert, Block, Broken, Field


def read_block(block: Block, info: BlockInfo, file: str) -> tuple[SpecBlock, tuple[Diagnostic, ...]]:
    """What `block` itself says, without what it extends.

    Errors: MOE2002, MOE2003, MOE2005, MOE2024, MOE2027.
    """
    reader = _BlockReader(info, file)
    for item in block.items:
        if len(reader.diagnostics) > MAX_DIAGNOSTICS:
            break
        match item:
            case Field():
                reader.read_field(item)
            case Block():
                reader.read_inner(item)
            case Assert():
                reader.read_assert(item)
    name = block.label or block.kind
    return SpecBlock(
        info.path, name.text, file, block.doc, name.span, reader.fields, reader.blocks, tuple(reader.asserts)
    ), tuple(reader.diagnostics)


class _BlockReader:
    def __init__(self, info: BlockInfo, file: str) -> None:
        self.info = info
        self.file = file
        self.fields: dict[str, SpecField] = {}
        self.blocks: dict[str, SpecBlock] = {}
        self.asserts: list[SpecAssert] = []
        self.spans: dict[str, Span] = {}
        self.diagnostics: list[Diagnostic] = []

    def read_field(self, item: Field) -> None:
        name, span = item.name.text, item.name.span
        if self.info.field(name) is None:
            self.diagnostics.append(self._unknown_field(name, span))
            self._take_as_broken(name, span)
        elif self._is_new(name, span):
            self.fields[name] = SpecField(name, item.value, span)

    def _take_as_broken(self, name: str, span: Span) -> None:
        """Takes the field that was probably meant as written, so that it is not missed on top."""
        meant = nearest(name, (field.name for field in self.info.fields))
        if meant and meant not in self.fields:
            self.fields[meant] = SpecField(meant, Broken(span), span)

    def read_inner(self, item: Block) -> None:
        name, span = item.kind.text, item.kind.span
        inner = self.info.block(name)
        if inner is None:
            self.diagnostics.append(self._unknown_block(name, span))
            inner = self._meant_block(name)
        if inner and self._is_new(inner.name, span):
            block, diagnostics = read_block(item, inner, self.file)
            self.diagnostics += diagnostics
            self.blocks[inner.name] = block

    def _meant_block(self, name: str) -> BlockInfo | None:
        """The block that was probably meant by `name`, if it is not written as well."""
        meant = nearest(name, (block.name for block in self.info.blocks))
        return self.info.block(meant) if meant and meant not in self.spans else None

    def read_assert(self, item: Assert) -> None:
        if self.info.path == "study":
            self.diagnostics.append(codes.assert_out_of_place(item.span, "study"))
            return
        self.asserts.append(SpecAssert(item.condition, item.why.value if item.why else "", item.span))

    def _is_new(self, name: str, span: Span) -> bool:
        if name in self.spans:
            self.diagnostics.append(codes.written_twice(span, name, self.spans[name]))
            return False
        self.spans[name] = span
        return True

    def _unknown_field(self, name: str, span: Span) -> Diagnostic:
        if self.info.block(name):
            return codes.block_not_field(span, name)
        known = tuple(field.name for field in self.info.fields)
        elsewhere = tuple(path for path, field in all_fields() if field.name == name)
        return codes.unknown_field(span, self.info.path, name, known, elsewhere)

    def _unknown_block(self, name: str, span: Span) -> Diagnostic:
        field = self.info.field(name)
        if field:
            return codes.field_not_block(span, name, field.example)
        return codes.unknown_block(span, self.info.path, name, tuple(block.name for block in self.info.blocks))
