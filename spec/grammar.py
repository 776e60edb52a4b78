"""The LALR table of `grammar.lark`: lark computes it, `parser.py` drives it.

moec drives the table itself because it must look ahead without building anything, and take symbols back, to recover
from mistakes; and because a table without callbacks can be shared by all files and threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from moec.spec.kept_table import keep_table, read_table
from moec.spec.table import Reduction, Table

if TYPE_CHECKING:
    from lark import Lark
    from lark.grammar import Rule


@cache
def load_table() -> Table:
    """The table of the grammar: kept by an earlier process, or computed, once per process."""
    grammar = _grammar()
    table = read_table(grammar)
    if table is None:
        table = compute_table()
        keep_table(grammar, table)
    return table


def compute_table() -> Table:
    """The table as lark computes it."""
    configuration = build_lark().parse_interactive().parser_state.parse_conf
    actions = {
        state: {symbol: _action(argument) for symbol, (_, argument) in row.items()}
        for state, row in configuration.states.items()
    }
    return Table(actions, configuration.start_state, configuration.end_state)


def build_lark() -> Lark:
    """The grammar in lark, which in strict mode refuses any conflict."""
    from lark import Lark
    from lark.lexer import Lexer, Token

    class NoLexer(Lexer):
        """Tokens are fed by `parser.py`."""

        def __init__(self, configuration: object) -> None:
            pass

        def lex(self, lexer_state: object, parser_state: object) -> Iterator[Token]:
            return iter(())

    return Lark(_grammar(), parser="lalr", lexer=NoLexer, start="file", strict=True, maybe_placeholders=False)


def _grammar() -> str:
    return Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")


def _action(argument: int | Rule) -> int | Reduction:
    if isinstance(argument, int):
        return argument
    size = len(argument.expansion)
    passes_through = argument.options.expand1 and size == 1 and not argument.alias
    return Reduction(size, argument.origin.name, None if passes_through else argument.alias or argument.origin.name)
