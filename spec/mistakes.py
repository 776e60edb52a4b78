"""A token that the grammar does not allow -> what to tell, and how to go on.

`RULES` is read from top to bottom; the first rule that knows the mistake wins, the last one knows any.
A rule may mend the tokens (the tree is then as good as if it had been written well) or give up the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from moec.spec.codes import syntax as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.layout import END
from moec.spec.lexer import KEYWORDS, Token
from moec.spec.machine import Machine
from moec.spec.quantities import SUFFIX_VALUES
from moec.spec.source import Span

_VALUE_STARTS: Final = frozenset(
    ("NUMBER", "TOPOLOGY", "STRING", "NAME", "TRUE", "FALSE", "LBRACKET", "LPAREN", "BROKEN")
)
_STATEMENT_ENDS: Final = frozenset(("NEWLINE", "COMMA", "RBRACE", "RBRACKET", "RPAREN", END))
_STATEMENT_SEPARATORS: Final = frozenset(("NEWLINE", "COMMA", "LBRACE", "RBRACE"))
_COMPARISONS: Final = frozenset(("EQUAL", "UNEQUAL", "LESS", "AT_MOST", "GREATER", "AT_LEAST"))
_ARITHMETIC: Final = frozenset(("PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT"))
_BEFORE_VALUE: Final = _COMPARISONS | _ARITHMETIC | {"ASSIGN", "AND", "OR", "NOT", "IF", "ELSE", "ASSERT"}
_WORDS: Final = frozenset(KEYWORDS.values())


@dataclass(frozen=True, slots=True)
class Mend:
    """What to do about a mistake.

    insert: read a token of `kind` first; replace: read the token as `kind`; drop: leave the token out;
    back: take back the symbol before it; give_up: skip to the end of the statement.
    """

    diagnostic: Diagnostic | None
    action: Literal["insert", "replace", "drop", "back", "give_up"]
    kind: str = ""


@dataclass(frozen=True)
class Place:
    """Where the machine stopped: at `tokens[index]`."""

    file: str
    tokens: Sequence[Token]
    index: int
    machine: Machine

    @property
    def found(self) -> Token:
        return self.tokens[self.index]

    @property
    def before(self) -> Token:
        return self.tokens[self.index - 1] if self.index else Token("START", "", 0, 0)

    @property
    def following(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    @cached_property
    def acceptable(self) -> frozenset[str]:
        return self.machine.acceptable()

    @cached_property
    def statement(self) -> Sequence[Token]:
        """The tokens of the statement before `found`."""
        first = self.index
        while first and self.tokens[first - 1].type not in _STATEMENT_SEPARATORS:
            first -= 1
        return self.tokens[first : self.index]

    @property
    def inside_block(self) -> bool:
        return any(isinstance(value, Token) and value.type == "LBRACE" for value in self.machine.values)

    @property
    def in_brackets(self) -> bool:
        return bool(self.acceptable & {"RBRACKET", "RPAREN"})

    def span(self, token: Token | None = None) -> Span:
        """The place of `token`, or of `found`; a line end counts as the one character behind the line's last word."""
        token = token or self.found
        if token.type == "NEWLINE" and token is self.found:
            return Span(self.file, self.before.end, self.before.end + 1)
        return Span(self.file, token.start, token.end)


Rule = Callable[[Place], Mend | None]


def mend(place: Place) -> Mend:
    """What to tell about the token at `place`, and how to go on."""
    for rule in RULES:
        answer = rule(place)
        if answer is not None:
            return answer
    raise AssertionError("the last rule knows any mistake")


def _already_told(place: Place) -> Mend | None:
    return Mend(None, "give_up") if place.found.type == "BROKEN" or place.before.type == "BROKEN" else None


def _comment_mark(place: Place) -> Mend | None:
    """`n = 4 // layers of it`, `// a comment`."""
    mark = next((token for token in (*place.statement, place.found) if token.type == "FLOOR"), None)
    if mark is None or (mark is not place.found and place.found.type in _STATEMENT_ENDS):
        return None
    return Mend(codes.wrong_comment_mark(place.span(mark), "//"), "give_up")


def _word_as_name(place: Place) -> Mend | None:
    found, before = place.found, place.before
    if found.type == "ASSIGN" and before.type in _WORDS:
        return Mend(codes.word_as_name(place.span(before), before.text), "give_up")
    if found.type not in _WORDS or "NAME" not in place.acceptable:
        return None
    if "NUMBER" in place.acceptable and place.following.type not in _STATEMENT_ENDS:
        return None
    return Mend(codes.word_as_name(place.span(), found.text), "replace", "NAME")


def _colon(place: Place) -> Mend | None:
    if place.found.type != "COLON" or "ASSIGN" not in place.acceptable:
        return None
    if place.following.type == "LBRACE":
        return Mend(codes.colon_before_block(place.span(), place.before.text), "drop")
    return Mend(codes.colon_for_equals(place.span(), place.before.text), "replace", "ASSIGN")


def _equals_before_block(place: Place) -> Mend | None:
    if place.found.type != "LBRACE" or place.before.type != "ASSIGN" or len(place.statement) < 2:
        return None
    name = place.tokens[place.index - 2]
    if name.type != "NAME" or place.statement[0].type == "LET":
        return None
    return Mend(codes.equals_before_block(place.span(place.before), name.text), "back")


def _missing_equals(place: Place) -> Mend | None:
    if place.found.type not in _VALUE_STARTS or "ASSIGN" not in place.acceptable or place.following.type == "LBRACE":
        return None
    return Mend(codes.missing_equals(place.span(), place.before.text), "insert", "ASSIGN")


def _missing_equals_between_names(place: Place) -> Mend | None:
    """`activation swiglu`, which the machine has taken for the head of a block."""
    kinds = [token.type for token in place.statement]
    if kinds != ["NAME", "NAME"] or "LBRACE" not in place.acceptable or not place.inside_block:
        return None
    if place.found.type not in _STATEMENT_ENDS | _ARITHMETIC | {"DOT", "LPAREN"} or place.following.type == "LBRACE":
        return None
    name, value = place.statement
    return Mend(codes.missing_equals(place.span(value), name.text), "give_up")


def _brace_on_next_line(place: Place) -> Mend | None:
    if place.found.type != "NEWLINE" or place.following.type != "LBRACE" or "LBRACE" not in place.acceptable:
        return None
    return Mend(codes.brace_on_next_line(place.span(place.following), place.before.text), "drop")


def _missing_value(place: Place) -> Mend | None:
    if place.before.type not in _BEFORE_VALUE or place.found.type not in _STATEMENT_ENDS:
        return None
    helps = () if place.before.type == "ASSIGN" else ("a value goes on in the next line only inside ( )",)
    shown = helps if place.found.type == "NEWLINE" else ()
    return Mend(codes.missing_value(place.span(place.before), place.before.text, *shown), "give_up")


def _space_before_suffix(place: Place) -> Mend | None:
    number, suffix = place.before, place.found
    if number.type != "NUMBER" or suffix.type != "NAME" or suffix.text not in SUFFIX_VALUES:
        return None
    span = Span(place.file, number.start, suffix.end)
    return Mend(codes.space_before_suffix(span, number.text, suffix.text), "drop")


def _missing_comma(place: Place) -> Mend | None:
    if place.found.type not in _VALUE_STARTS or not place.in_brackets or "COMMA" not in place.acceptable:
        return None
    return Mend(codes.missing_comma(place.span(), place.span(place.before)), "insert", "COMMA")


def _comparison_chain(place: Place) -> Mend | None:
    if place.found.type not in _COMPARISONS or "AND" not in place.acceptable:
        return None
    return Mend(codes.comparison_chain(place.span(), place.found.text), "give_up")


def _power(place: Place) -> Mend | None:
    if place.found.type != "STAR" or place.before.type != "STAR" or place.before.end != place.found.start:
        return None
    return Mend(codes.power(place.span(place.before).to(place.span())), "drop")


def _named_argument(place: Place) -> Mend | None:
    if place.found.type != "ASSIGN" or place.before.type != "NAME" or "RPAREN" not in place.acceptable:
        return None
    if place.tokens[place.index - 2].type not in ("COMMA", "LPAREN"):
        return None
    return Mend(codes.named_argument(place.span(place.before), place.before.text), "give_up")


def _assign_for_equal(place: Place) -> Mend | None:
    if place.found.type != "ASSIGN" or "EQUAL" not in place.acceptable:
        return None
    return Mend(codes.assign_for_equal(place.span()), "replace", "EQUAL")


def _two_on_a_line(place: Place) -> Mend | None:
    if "NEWLINE" not in place.acceptable or place.found.type not in ("NAME", "LET", "USE", "ASSERT"):
        return None
    if place.found.type == "NAME" and place.following.type not in ("ASSIGN", "LBRACE", "NAME", "COLON"):
        return None
    return Mend(codes.two_on_a_line(place.span()), "insert", "NEWLINE")


def _anything(place: Place) -> Mend | None:
    return Mend(codes.unexpected(place.span(), found_in_words(place.found), expected_in_words(place)), "give_up")


RULES: Final[tuple[Rule, ...]] = (
    _already_told,
    _comment_mark,
    _word_as_name,
    _colon,
    _equals_before_block,
    _missing_equals,
    _missing_equals_between_names,
    _brace_on_next_line,
    _missing_value,
    _space_before_suffix,
    _power,
    _missing_comma,
    _comparison_chain,
    _named_argument,
    _assign_for_equal,
    _two_on_a_line,
    _anything,
)


def found_in_words(token: Token) -> str:
    """How a person names `token`."""
    if token.type == "NEWLINE":
        return "the end of the line"
    if token.type == END:
        return "the end of the file"
    if token.type == "STRING":
        return "a text"
    if token.type in _WORDS:
        return f"the word `{token.text}`"
    return f"`{token.text}`"


def expected_in_words(place: Place) -> str:
    """What could have stood at `place`, most telling first."""
    kinds = place.acceptable
    if "NUMBER" in kinds:
        return "a value"
    if "ASSIGN" in kinds:
        return f"`=` or `{{` after `{place.before.text}`"
    if "LBRACE" in kinds:
        return "`{`"
    if "RPAREN" in kinds:
        return "`,` or `)`" if "COMMA" in kinds else "`)`"
    if "RBRACKET" in kinds:
        return "`,` or `]`"
    if "ELSE" in kinds and "NEWLINE" not in kinds:
        return "`else`"
    if "NAME" in kinds:
        return "a name" if place.before.type not in _STATEMENT_SEPARATORS | {"START"} else "a field or a block"
    if "STRING" in kinds:
        return "a text in double quotes"
    if "AS" in kinds:
        return '`as`, as in `use "base.moe" as base`'
    return "the end of the line or a comma"
