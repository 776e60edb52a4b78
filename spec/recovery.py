"""Skipping what cannot be mended: from a mistake to the end of its statement, with nothing outside it lost.

The grammar takes the terminal ERROR in place of a value, a statement or the rest of a block's head. The machine takes
symbols back until ERROR is allowed, tokens are skipped until one may follow it, and reading goes on there.
Since layout has balanced all brackets, a statement ends at the first separator that is not inside any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from moec.spec.layout import END
from moec.spec.lexer import Token
from moec.spec.machine import Machine

_OPENERS: Final = frozenset(("LBRACE", "LBRACKET", "LPAREN"))
_CLOSERS: Final = frozenset(("RBRACE", "RBRACKET", "RPAREN"))
_RESUMING: Final = frozenset(("NEWLINE", "COMMA", "RBRACE", "LBRACE", "AS", "COLON", END))
_FINAL: Final = frozenset(("NEWLINE", "RBRACE", END))


def give_up_statement(machine: Machine, tokens: Sequence[Token], index: int) -> int:
    """Makes `machine` ready to read on behind the mistake at `tokens[index]`; the index of the token to read next.

    That token is one that the machine accepts, so at least one token is read between two calls.
    """
    if machine.values and _is_token(machine.values[-1], "RBRACE"):
        machine.feed(Token("NEWLINE", "", tokens[index].start, tokens[index].start))
    depth_in_brackets = _open_brackets(machine)
    while True:
        if machine.accepts("ERROR"):
            resume = _find_resumption(machine, tokens, index, depth_in_brackets)
            if resume is not None:
                start = tokens[index].start
                fed = machine.feed(Token("ERROR", "", start, max(start, tokens[resume].start)))
                assert fed, "the machine said that it accepts this"
                return resume
        machine.take_back()


def _is_token(value: object, kind: str) -> bool:
    return isinstance(value, Token) and value.type == kind


def _open_brackets(machine: Machine) -> int:
    """How many [ and ( are open since the last {."""
    count = 0
    for value in reversed(machine.values):
        if not isinstance(value, Token):
            continue
        if value.type == "LBRACE":
            break
        count += value.type in ("LBRACKET", "LPAREN")
    return count


def _find_resumption(machine: Machine, tokens: Sequence[Token], index: int, brackets: int) -> int | None:
    """The first token, from `index` to the end of the statement, that could follow ERROR."""
    depth = brackets
    while True:
        kind = tokens[index].type
        if (depth == 0 or kind == END) and kind in _RESUMING:
            if machine.accepts("ERROR", kind):
                return index
            if kind in _FINAL:
                return None
        depth += (kind in _OPENERS) - (kind in _CLOSERS)
        index += 1
