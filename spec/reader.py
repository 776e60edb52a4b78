"""loaded files -> spec: `LoadedFiles -> Spec, diagnostics`.

Holds every name of a block and a field against the fields table, merges `extends`, and says what is written twice or
never used. Non-goals: what values are worth (`compiler/resolve.py`), what a block lacks (there as well).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from moec.spec.blocks import BlockKey, FileScope, Spec, SpecBlock
from moec.spec.codes import names as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.fields.table import EDITION, KINDS, block_info
from moec.spec.first_mistakes import first_mistakes, without_followers
from moec.spec.limits import MAX_BLOCKS, MAX_DIAGNOSTICS
from moec.spec.loader import LoadedFiles
from moec.spec.merge import merge
from moec.spec.near import nearest
from moec.spec.quantities import read_number
from moec.spec.read_block import read_block
from moec.spec.source import Span
from moec.spec.syntax import Block, Broken, Field, File, Let, Number, Reference, Use
from moec.spec.unused import unused


def read(loaded: LoadedFiles) -> tuple[Spec, tuple[Diagnostic, ...]]:
    """The spec that `loaded` holds, without what could not be read.

    Errors: MOE2001 to MOE2012, MOE2015 to MOE2017, MOE2024, MOE2025, MOE2027.
    """
    reader = _Reader(loaded)
    spec = reader.run()
    told = (*reader.diagnostics, *unused(loaded, spec))
    return spec, first_mistakes(without_followers(told, loaded.broken))


class _Reader:
    def __init__(self, loaded: LoadedFiles) -> None:
        self.loaded = loaded
        self.diagnostics: list[Diagnostic] = []
        self.written: dict[tuple[str, BlockKey], SpecBlock] = {}
        self.bases: dict[tuple[str, BlockKey], Reference] = {}
        self.merged: dict[tuple[str, BlockKey], SpecBlock] = {}
        self.uses: dict[str, dict[str, str]] = {}
        self.blocks = 0

    def run(self) -> Spec:
        files = self.loaded.files
        lets = {name: self._read_file(name, file) for name, file in files.items()}
        for file, key in list(self.written):
            self._merge(file, key)
        scopes = {name: FileScope(lets[name], self.uses[name], self._blocks_of(name)) for name in files}
        return Spec(self.loaded.main, scopes, self._extended(), self.loaded.broken)

    def _read_file(self, name: str, file: File) -> Mapping[str, Let]:
        """Reads the statements of one file; its lets."""
        self._check_edition(file)
        lets: dict[str, Let] = {}
        spans: dict[str, Span] = {}
        uses = self.uses.setdefault(name, {})
        for statement in file.statements:
            match statement:
                case Let() if self._is_new("let", statement.name.text, statement.name.span, spans):
                    lets[statement.name.text] = statement
                case Use() if self._is_new("use", statement.alias.text, statement.alias.span, spans):
                    uses[statement.alias.text] = self.loaded.imported(name, statement) or ""
                case Block():
                    self._read_top_block(name, statement)
                case Field() if statement.name.text != "edition" and not isinstance(statement.value, Broken):
                    self.diagnostics.append(codes.field_at_top(statement.name.span, statement.name.text))
                    lets.setdefault(statement.name.text, Let(statement.name, statement.value, statement.span))
        return lets

    def _is_new(self, what: str, name: str, span: Span, spans: dict[str, Span]) -> bool:
        """Whether no `let` or `use` of this file has the name yet."""
        if name in spans:
            self.diagnostics.append(codes.named_twice(span, "`let` or `use` called", name, spans[name]))
            return False
        spans[name] = span
        return True

    def _check_edition(self, file: File) -> None:
        editions = [item for item in file.statements if isinstance(item, Field) and item.name.text == "edition"]
        if not editions:
            self.diagnostics.append(codes.missing_edition(_start_of(file), EDITION))
            return
        for other in editions[1:]:
            self.diagnostics.append(codes.written_twice(other.name.span, "edition", editions[0].name.span))
        value = editions[0].value
        known = isinstance(value, Number) and (number := read_number(value.text)) and number.amount == Fraction(EDITION)
        if not known and not isinstance(value, Broken):
            self.diagnostics.append(codes.unknown_edition(value.span, EDITION))

    def _read_top_block(self, file: str, block: Block) -> None:
        self.blocks += 1
        if self.blocks == MAX_BLOCKS + 1:
            self.diagnostics.append(codes.too_many_blocks(block.kind.span))
        if self.blocks > MAX_BLOCKS or len(self.diagnostics) > MAX_DIAGNOSTICS:
            return
        kind = block.kind.text
        info = block_info(kind) if kind in KINDS else None
        if info is None:
            self.diagnostics.append(codes.unknown_kind(block.kind.span, kind, KINDS))
            kind = nearest(kind, KINDS) or ""
            info = block_info(kind)
        if info is None or block.label is None:
            return
        key = (kind, block.label.text)
        first = self.written.get((file, key))
        if first:
            self.diagnostics.append(codes.named_twice(block.label.span, kind, block.label.text, first.span))
            return
        read_to, diagnostics = read_block(block, info, file)
        self.diagnostics += diagnostics
        self.written[file, key] = read_to
        if block.extends:
            self.bases[file, key] = block.extends

    def _merge(self, file: str, key: BlockKey) -> None:
        """Merges the block with all that it extends, from the furthest base to the block itself."""
        line: list[tuple[str, BlockKey]] = []
        here: tuple[str, BlockKey] | None = (file, key)
        while here and here not in self.merged:
            if here in line:
                self._tell_circle(line[line.index(here) :])
                break
            line.append(here)
            here = self._base_of(here)
        for place in reversed(line):
            base = self._base_of(place, told=True)
            own = self.written[place]
            self.merged[place] = merge(self.merged[base], own) if base in self.merged else own

    def _base_of(self, place: tuple[str, BlockKey], told: bool = False) -> tuple[str, BlockKey] | None:
        """The block that the one at `place` extends; what is wrong with that is told unless it has been."""
        reference = self.bases.get(place)
        if reference is None:
            return None
        file, (kind, _) = place
        *aliases, name = (part.text for part in reference.parts)
        target = self.uses[file].get(aliases[0]) if len(aliases) == 1 else file if not aliases else None
        if target is not None and (target, (kind, name)) in self.written:
            return target, (kind, name)
        if not told and target != "":
            known = tuple(other for (owner, (of, other)) in self.written if owner == file and of == kind)
            others = tuple(other for other in known if other != place[1][1])
            self.diagnostics.append(codes.extends_nothing(reference.span, kind, reference.dotted, others))
        return None

    def _tell_circle(self, line: list[tuple[str, BlockKey]]) -> None:
        names = tuple(name for _, (_, name) in line)
        self.diagnostics.append(codes.extends_circle(self.bases[line[0]].span, names))

    def _blocks_of(self, file: str) -> Mapping[BlockKey, SpecBlock]:
        return {key: self.merged[owner, key] for owner, key in self.written if owner == file}

    def _extended(self) -> frozenset[BlockKey]:
        main = self.loaded.main
        bases = (self._base_of(place, told=True) for place in self.bases)
        return frozenset(base[1] for base in bases if base and base[0] == main)


def _start_of(file: File) -> Span:
    """The first statement, or the start of an empty file."""
    for statement in _spans(file):
        return statement
    return Span(file.span.file, file.span.start, file.span.start)


def _spans(file: File) -> Iterator[Span]:
    for statement in file.statements:
        yield statement.kind.span if isinstance(statement, Block) else statement.span
