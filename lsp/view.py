"""What a feature sees: one file of the editor with all that is known of it, and the editor's way to count places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lsprotocol import types

from moec.compiler.scope import Place, Scope
from moec.lsp.checking import Checked
from moec.lsp.front import Front
from moec.lsp.pieces import Pieced
from moec.lsp.positions import Lines
from moec.lsp.walking import Spot, spot_at
from moec.spec.fields.info import BlockInfo
from moec.spec.fields.table import KINDS, block_info
from moec.spec.source import Span
from moec.spec.syntax import Block


@dataclass(frozen=True, slots=True)
class View:
    """A main file. `uri` gives the address of a file by its name; `checked` is the newest whole check that there is,
    which may be of an earlier text.
    """

    front: Front
    encoding: types.PositionEncodingKind | str
    uri: Callable[[str], str]
    checked: Checked | None = None

    @property
    def name(self) -> str:
        return self.front.main

    @property
    def is_yaml(self) -> bool:
        return not self.name.endswith(".moe")

    @property
    def text(self) -> Pieced:
        return self.front.text

    @property
    def lines(self) -> Lines:
        return self.lines_of(self.name)

    def lines_of(self, file: str) -> Lines:
        return Lines(self.front.texts[file].source, self.encoding)

    def range(self, span: Span) -> types.Range:
        """Where `span`, which is in addresses, lies in its file."""
        real = self.front.real(span)
        return self.lines_of(real.file).range(real.start, real.end)

    def extent(self, span: Span) -> types.Range:
        """As `range`, without white space at the end: a block of YAML ends where the next thing begins."""
        real = self.front.real(span)
        lines = self.lines_of(real.file)
        return lines.range(real.start, real.start + len(lines.source.slice(real).rstrip()))

    def location(self, span: Span) -> types.Location:
        """The file and the range of `span`."""
        return types.Location(self.uri(self.front.real(span).file), self.range(span))

    def address(self, position: types.Position) -> int:
        """The address of `position` in the main file."""
        return self.text.address(self.lines.offset(position))

    def spot(self, position: types.Position) -> Spot:
        """What the tree of the main file has at `position`."""
        return spot_at(self.text.file, self.address(position))

    def scope(self) -> Scope:
        """Works out values of the text as it is now."""
        return Scope(self.front.spec)

    def place(self, blocks: tuple[Block, ...]) -> Place | None:
        """The place that `blocks` of the main file lead to, outermost first; None where it is none of the language."""
        return place_of(self.front, self.name, blocks)


def place_of(front: Front, file: str, blocks: tuple[Block, ...]) -> Place | None:
    """The place that `blocks` of `file` lead to, outermost first; None where it is none of the language."""
    if not blocks or blocks[0].label is None or file not in front.spec.scopes:
        return None
    root = front.spec.block(file, blocks[0].kind.text, blocks[0].label.text)
    path = ".".join(block.kind.text for block in blocks)
    if root is None or block_info(path) is None:
        return None
    return Place(root, tuple(block.kind.text for block in blocks[1:]))


def info_of(blocks: tuple[Block, ...]) -> BlockInfo | None:
    """What the fields table says of the innermost of `blocks`."""
    path = ".".join(block.kind.text for block in blocks)
    return block_info(path) if path.partition(".")[0] in KINDS else None
