"""text -> pieces, parsed once each. What makes the server quick: a keystroke parses the statement that it changes.

A file is cut before each line that begins a top-level statement. Every piece of text gets *addresses* of its own, which
it keeps wherever it moves in the file; the spans of its tree, and of every diagnostic and value that is made from it,
are in addresses. So what was worked out for a piece stays true, to the last span, while other pieces grow and shrink;
`Pieced` turns addresses into places of the file as it is now.

Recovery from brackets that lack their partner looks at the whole file, so the pieces of such a text are a guess, good
enough while one types; `PieceStore.whole` takes the time to make one piece of all.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from moec.lsp.moved import along
from moec.lsp.walking import defined_name, references_in
from moec.spec.braces import braces_match
from moec.spec.diagnostics import Diagnostic
from moec.spec.lexer import Lexed, lex
from moec.spec.limits import MAX_DIAGNOSTICS
from moec.spec.loader import parse_source
from moec.spec.source import Source, Span
from moec.spec.syntax import File, Statement

MAX_PIECES: Final = 4000
"""A file of more is one piece. Assumption: no one writes so many blocks, and a piece has a cost of its own."""

MAX_MERGED: Final = 16
"""How many pieces a bracket may reach over. Assumption: one that is open for longer lacks its partner."""

_OPENERS: Final = frozenset(("LBRACE", "LBRACKET", "LPAREN"))
_CLOSERS: Final = frozenset(("RBRACE", "RBRACKET", "RPAREN"))
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
    def stands_alone(self) -> bool:
        """Whether what follows in the file cannot change how it is read: each bracket has its partner, and no mistake
        is at its end.
        """
        end = self.base + len(self.text.rstrip())
        told_inside = all(one.span.end < end for one in self.diagnostics)
        return told_inside and braces_match(self.lexed.tokens) and not open_brackets(self.lexed)


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
        """Whether the whole file as one piece would have the same tree and the same mistakes."""
        told = self.diagnostics
        if not told or len(self.pieces) == 1:
            return True
        return len(told) <= MAX_DIAGNOSTICS and all(piece.stands_alone for piece in self.pieces)

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


class PieceStore:
    """The pieces of one file from one version of its text to the next."""

    def __init__(self) -> None:
        self._known: dict[str, list[Piece]] = {}
        self._next_base = 1
        self._latest: Pieced | None = None
        self._whole: Pieced | None = None
        self._open: dict[str, int] = {}

    def update(self, source: Source) -> Pieced:
        """`source` in pieces; those whose text was there before are the same as before."""
        if self._latest is None or self._latest.source != source:
            self._latest = self._cut(source)
        return self._latest

    def whole(self, source: Source) -> Pieced:
        """`source` as one piece where its pieces are a guess, else as `update` gives it."""
        pieced = self.update(source)
        if pieced.is_certain:
            return pieced
        if self._whole is None or self._whole.source != source:
            self._whole = Pieced(source, (self._parsed(source.name, source.text),), (0,))
        return self._whole

    def _cut(self, source: Source) -> Pieced:
        starts = self._merged(source, _piece_starts(source))
        ends = (*starts[1:], len(source.text))
        used: dict[str, list[Piece]] = {}
        pieces = tuple(
            self._piece(source.name, source.text[start:end], used) for start, end in zip(starts, ends, strict=True)
        )
        self._known = used
        return Pieced(source, pieces, starts)

    def _merged(self, source: Source, starts: tuple[int, ...]) -> tuple[int, ...]:
        """`starts` without those inside brackets, where the brackets are closed before long."""
        ends = (*starts[1:], len(source.text))
        texts = [source.text[start:end] for start, end in zip(starts, ends, strict=True)]
        self._open = {text: self._open_in(source.name, text) for text in texts}
        kept, index = [], 0
        while index < len(texts):
            kept.append(starts[index])
            index += self._reach([self._open[text] for text in texts[index : index + MAX_MERGED]])
        return tuple(kept)

    def _open_in(self, name: str, text: str) -> int:
        known = self._open.get(text)
        return open_brackets(lex(Source(name, text))) if known is None else known

    def _reach(self, opened: list[int]) -> int:
        """How many of the next pieces belong together, given the brackets that each leaves open."""
        depth = 0
        for count, more in enumerate(opened, start=1):
            depth += more
            if depth <= 0:
                return count
        return 1

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


def open_brackets(lexed: Lexed) -> int:
    """How many brackets and braces are opened and not closed, below 0 where more are closed than opened."""
    return sum((token.type in _OPENERS) - (token.type in _CLOSERS) for token in lexed.tokens)


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
