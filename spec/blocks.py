"""A spec as it was read: its blocks by kind and name, `extends` merged, every field with the place that it comes
from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moec.spec.source import Span
from moec.spec.syntax import Expression, Let

BlockKey = tuple[str, str]
"""The kind and the name of a block."""


@dataclass(frozen=True, slots=True)
class SpecField:
    """A field that someone wrote. Its expression is worked out in the block that has it, and in the file where it
    stands.

    `inherited` counts the blocks between this one and the one that wrote it, 0 where it is written in this one.
    """

    name: str
    value: Expression
    name_span: Span
    inherited: int = 0


@dataclass(frozen=True, slots=True)
class SpecAssert:
    condition: Expression
    why: str
    span: Span


@dataclass(frozen=True, slots=True)
class SpecBlock:
    """A block with all that it inherits. `path` is its kind in the fields table: `model`, `model.attention`.

    `span` covers its name, or its kind where it stands inside another. An inner block that no one wrote is not here.
    """

    path: str
    name: str
    file: str
    doc: str
    span: Span
    fields: Mapping[str, SpecField]
    blocks: Mapping[str, SpecBlock]
    asserts: tuple[SpecAssert, ...]


@dataclass(frozen=True, slots=True)
class FileScope:
    """What the expressions in one file can name. `uses` gives the file behind an alias, "" where that could not be
    read.
    """

    lets: Mapping[str, Let]
    uses: Mapping[str, str]
    blocks: Mapping[BlockKey, SpecBlock]

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """The names of all blocks of `kind`, in the order in which they are written."""
        return tuple(name for other, name in self.blocks if other == kind)

    def named(self, name: str) -> tuple[SpecBlock, ...]:
        """The blocks of whatever kind with this name."""
        return tuple(block for (_, other), block in self.blocks.items() if other == name)


@dataclass(frozen=True, slots=True)
class Spec:
    """The main file and all that it uses. `extended` are the blocks of the main file that others extend; `broken`
    says that something of the text could not be read.
    """

    file: str
    scopes: Mapping[str, FileScope]
    extended: frozenset[BlockKey]
    broken: bool = False

    @property
    def main(self) -> FileScope:
        return self.scopes[self.file]

    def block(self, file: str, kind: str, name: str) -> SpecBlock | None:
        """The block of this kind and name in `file`, if there is one."""
        scope = self.scopes.get(file)
        return scope.blocks.get((kind, name)) if scope else None
