"""Where blocks begin and end, as far as the tokens alone say it; `layout.py` asks this of files with mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from moec.spec.lexer import Token

_LONGEST_HEAD: Final = 12


def is_head(tokens: Sequence[Token], index: int) -> bool:
    """Whether the head of a block with a name stands at `index`: only top-level blocks have one."""
    kinds = [token.type for token in tokens[index : index + 3]]
    return kinds in (["NAME", "NAME", "LBRACE"], ["NAME", "NAME", "EXTENDS"])


def braces_match(tokens: Sequence[Token]) -> bool:
    """Whether every `{` has its `}`."""
    depth = 0
    for token in tokens:
        if token.type == "LBRACE":
            depth += 1
        elif token.type == "RBRACE":
            depth -= 1
            if depth < 0:
                return False
    return depth == 0


def head_without_brace(tokens: Sequence[Token], index: int, indent: int) -> int | None:
    """Where the inside of a block begins whose head starts at `index` and lacks its `{`; None where no such block is.

    Its inside begins in the same line with a field, or in the next line, further in than `indent`.
    """
    kinds = [token.type for token in tokens[index : index + _LONGEST_HEAD]]
    end = 0
    if kinds[:1] == ["NAME"]:
        end = 2 if kinds[1:2] == ["NAME"] and kinds[2:3] != ["ASSIGN"] else 1
    if end and kinds[end : end + 2] == ["EXTENDS", "NAME"]:
        end += 2
        while kinds[end : end + 2] == ["DOT", "NAME"]:
            end += 2
    if not end or len(kinds) <= end + 1:
        return None
    if kinds[end] == "NAME" and kinds[end + 1] in ("ASSIGN", "LBRACE"):
        return index + end
    further_in = kinds[end] == "NEWLINE" and tokens[index + end + 1].start - tokens[index + end].end > indent
    return index + end + 1 if further_in and kinds[end + 1] == "NAME" else None
