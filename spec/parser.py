"""text -> syntax tree. The whole way of a file: `lexer`, `layout`, then the LALR machine, which this drives.

A mistake never stops the reading: `mistakes.py` says what is wrong and mends what it can, `recovery.py` skips the rest.
Non-goals: what names and values mean (`reader.py`), other files (`loader.py`).
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from moec.spec.builder import Builder
from moec.spec.diagnostics import Diagnostic
from moec.spec.first_mistakes import first_mistakes
from moec.spec.grammar import load_table
from moec.spec.layout import Layout, lay_out
from moec.spec.lexer import Lexed, Token, lex
from moec.spec.limits import MAX_DIAGNOSTICS
from moec.spec.machine import Machine
from moec.spec.mistakes import Mend, Place, mend
from moec.spec.recovery import give_up_statement
from moec.spec.source import Source, Span
from moec.spec.syntax import File


def parse(source: Source) -> tuple[File, tuple[Diagnostic, ...]]:
    """The tree of `source`, as good as its text allows, and all that is wrong with the text.

    Errors: MOE1001 to MOE1039. Where there are any, the tree has `Broken` values and lacks statements.
    """
    with _without_collector():
        lexed = lex(source)
        layout = lay_out(source, lexed)
        parser = _Parser(source, layout)
        file = parser.run()
        return file, _told(source, lexed, layout, parser)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Tokens and trees hold no cycles, so Python's collector would walk through all of them again and again in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _told(source: Source, lexed: Lexed, layout: Layout, parser: _Parser) -> tuple[Diagnostic, ...]:
    """All diagnostics in order, without those about text that was skipped on account of another, up to the limit."""
    lexical = (d for d in lexed.diagnostics if not parser.has_skipped(d.span))
    return first_mistakes((*lexical, *layout.diagnostics, *parser.diagnostics, *parser.builder.diagnostics))


class _Parser:
    def __init__(self, source: Source, layout: Layout) -> None:
        self.file = source.name
        self.tokens = list(layout.tokens)
        self.builder = Builder(source, layout.comments)
        self.machine = Machine(load_table(), self.builder)
        self.diagnostics: list[Diagnostic] = []
        self.skipped: list[Span] = []

    def run(self) -> File:
        index = 0
        while index < len(self.tokens):
            if self.machine.feed(self.tokens[index]):
                index += 1
            elif len(self.diagnostics) > MAX_DIAGNOSTICS:
                index = self._give_up_file(index)
            else:
                index = self._mend(index)
        file = self.machine.values[-1]
        assert isinstance(file, File), "the machine ends with the file"
        return file

    def _mend(self, index: int) -> int:
        answer = mend(Place(self.file, self.tokens, index, self.machine))
        if answer.diagnostic is not None:
            self.diagnostics.append(answer.diagnostic)
        return self._apply(answer, index)

    def _apply(self, answer: Mend, index: int) -> int:
        """Changes the tokens or the machine as `answer` says, if that helps; the index of the token to read next."""
        found = self.tokens[index]
        if answer.action == "insert" and self.machine.accepts(answer.kind, found.type):
            self.machine.feed(Token(answer.kind, "", found.start, found.start))
            return index
        if answer.action == "replace" and self.machine.accepts(answer.kind):
            self.tokens[index] = found._replace(type=answer.kind)
            return index
        if answer.action == "drop" and self.machine.accepts(self.tokens[index + 1].type):
            return index + 1
        if answer.action == "back":
            self.machine.take_back()
            if self.machine.accepts(found.type):
                return index
        return self._give_up_statement(index)

    def _give_up_statement(self, index: int) -> int:
        resume = give_up_statement(self.machine, self.tokens, index)
        self._note_skipped(index, resume)
        return resume

    def _give_up_file(self, index: int) -> int:
        """Goes to the end of the file at once."""
        end = len(self.tokens) - 1
        self._note_skipped(index, end)
        self.tokens[index] = self.tokens[end]
        give_up_statement(self.machine, self.tokens, index)
        return end

    def _note_skipped(self, index: int, resume: int) -> None:
        if resume > index + 1:
            self.skipped.append(Span(self.file, self.tokens[index].end, self.tokens[resume - 1].end))

    def has_skipped(self, span: Span) -> bool:
        return any(skipped.start <= span.start < skipped.end for skipped in self.skipped)
