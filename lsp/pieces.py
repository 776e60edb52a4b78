"""text -> pieces, parsed once each. What makes the server quick: a keystroke parses the statement that it changes.

A file is cut before each line that begins a top-level statement. Every piece of text gets *addresses* of its own, which
it keeps wherever it moves in the file; the spans of its tree, and of every diagnostic and value that is made from it,
are in addresses. So what was worked out for a piece stays true, to the last span, while other pieces grow and shrink;
`Pieced` turns addresses into places of the file as it is now.

Recovery from brackets that lack their partner looks at the whole file. A piece alone may then word a mistake otherwise;
`certain_diagnostics` takes the time to look at all of it.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from moec.lsp.moved import Mover, along
from moec.lsp.walking import defined_name, references_in
from moec.spec.braces import braces_match
from moec.spec.diagnostics import Diagnostic
from moec.spec.lexer import Lexed, lex
from moec.spec.limits import MAX_SYNTAX_DIAGNOSTICS
from moec.spec.loader import parse_source
from moec.spec.source import Source, Span
from moec.spec.syntax import File, Statement

MAX_PIECES: Final = 4000
"""A file of more is one piece. Assumption: no one writes so many blocks, and a piece has a cost of its own."""

_BETWEEN: Final = re.compile(r"[ \t]*(?:#|///|\r|\n|\Z)")
_GAP: Final = 2
"""Addresses between two pieces, so that the end of one is not the start of the next."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of text with its tree; spans are addresses, from `base` on. Each is equal to itself alone."""

    text: str
    base: int
    statements: tuple[Statement, ...]
    diagnostics: tuple[Diagnostic, ...]
    name: str

    @cached_property
    def lexed(self) -> Lexed:
        """Its tokens; these count from the start of the piece."""
        return lex(Source(self.name, self.text))

    @cached_property
    def defines(self) -> frozenset[str]:
        """The names of its `let`s, `use`s and blocks."""
        return frozenset(name.text for statement in self.statements if (name := defined_name(statement)))

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The first names of all references in it."""
        return frozenset(reference.parts[0].text for one in self.statements for reference in references_in(one))

    @cached_property
    def is_balanced(self) -> bool:
        """Whether each bracket has its partner."""
        kinds = [token.type for token in self.lexed.tokens]
        pairs = (("LBRACE", "RBRACE"), ("LBRACKET", "RBRACKET"), ("LPAREN", "RPAREN"))
        return braces_match(self.lexed.tokens) and all(kinds.count(one) == kinds.count(two) for one, two in pairs)


@dataclass(frozen=True, eq=False)
class Pieced:
    """A file as it is now: its pieces in their order, and where each of them starts."""

    source: Source
    pieces: tuple[Piece, ...]
    starts: tuple[int, ...]

    @cached_property
    def file(self) -> File:
        """The tree of the file, in addresses."""
        statements = tuple(one for piece in self.pieces for one in piece.statements)
        return File(statements, Span(self.source.name, 0, 0))

    @cached_property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the text, in addresses, as far as each piece alone can tell."""
        return tuple(one for piece in self.pieces for one in piece.diagnostics)

    @cached_property
    def is_certain(self) -> bool:
        """Whether a look at the whole file would tell the same."""
        told = self.diagnostics
        return not told or (len(told) <= MAX_SYNTAX_DIAGNOSTICS and all(piece.is_balanced for piece in self.pieces))

    @cached_property
    def certain_diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the text, in addresses, as `moec check` tells it."""
        if self.is_certain:
            return self.diagnostics
        mover = Mover(self._addressed)
        return tuple(mover.diagnostic(one) for one in parse_source(self.source)[1])

    def address(self, offset: int) -> int:
        """The address of the place `offset` of the file; between two pieces, the end of the former."""
        index = max(bisect.bisect_right(self.starts, offset) - 1, 0)
        return self.pieces[index].base + offset - self.starts[index]

    def offset(self, address: int) -> int:
        """Where the place with this `address` is in the file; 0 is its start."""
        if address == 0:
            return 0
        base, index = self._bases[bisect.bisect_right(self._bases, (address, len(self.pieces))) - 1]
        return min(self.starts[index] + address - base, len(self.source.text))

    def real(self, span: Span) -> Span:
        """`span`, which is in addresses, in places of the file."""
        start = self.offset(span.start)
        return Span(span.file, start, max(start, self.offset(span.end)))

    def piece_at(self, offset: int) -> tuple[Piece, int]:
        """The piece in which the place `offset` of the file lies, and where it starts."""
        index = max(bisect.bisect_right(self.starts, offset) - 1, 0)
        return self.pieces[index], self.starts[index]

    @cached_property
    def _bases(self) -> list[tuple[int, int]]:
        return sorted((piece.base, index) for index, piece in enumerate(self.pieces))

    def _addressed(self, span: Span) -> Span:
        """`span`, which is in places of the file, in addresses."""
        return Span(span.file, self.address(span.start), self.address(span.end))


class PieceStore:
    """The pieces of one file from one version of its text to the next."""

    def __init__(self) -> None:
        self._known: dict[str, list[Piece]] = {}
        self._next_base = 1
        self._latest: Pieced | None = None

    def update(self, source: Source) -> Pieced:
        """`source` in pieces; those whose text was there before are the same as before."""
        if self._latest is None or self._latest.source != source:
            self._latest = self._cut(source)
        return self._latest

    def _cut(self, source: Source) -> Pieced:
        starts = _piece_starts(source)
        ends = (*starts[1:], len(source.text))
        used: dict[str, list[Piece]] = {}
        pieces = tuple(
            self._piece(source.name, source.text[start:end], used) for start, end in zip(starts, ends, strict=True)
        )
        self._known = used
        return Pieced(source, pieces, starts)

    def _piece(self, name: str, text: str, used: dict[str, list[Piece]]) -> Piece:
        """The next piece with this `text` that is not in use yet, or a new one."""
        same = used.setdefault(text, [])
        known = self._known.get(text, ())
        piece = known[len(same)] if len(same) < len(known) else self._parsed(name, text)
        same.append(piece)
        return piece

    def _parsed(self, name: str, text: str) -> Piece:
        base = self._next_base
        self._next_base += len(text) + _GAP
        file, told = parse_source(Source(name, text))
        mover = along(base)
        statements = tuple(mover.statement(one) for one in file.statements)
        return Piece(text, base, statements, tuple(mover.diagnostic(one) for one in told), name)


def _piece_starts(source: Source) -> tuple[int, ...]:
    """Where the pieces of `source` start: its first character, and each further line that begins a statement, with
    the comments and blank lines above it.
    """
    if not source.name.endswith(".moe"):
        return (0,)
    text, starts = source.text, [0]
    run: int | None = None
    for line in source.line_starts:
        first = text[line : line + 1]
        if first.isalpha() or first == "_":
            start = line if run is None else run
            if start > 0:
                starts.append(start)
            run = None
        elif _BETWEEN.match(text, line):
            run = line if run is None else run
        else:
            run = None
    return tuple(starts) if len(starts) <= MAX_PIECES else (0,)
