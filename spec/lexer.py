"""text -> tokens. Finds the words, numbers, texts and marks of a spec, with comments and line ends still among them.

Non-goals: brackets, blocks and the meaning of newlines (`layout.py`), order of words (`parser.py`).
Where a piece of text is no token, it is told here and stands as a BROKEN value, so that nobody complains of it again.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from moec.spec import near
from moec.spec.codes import syntax as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.limits import MAX_DIAGNOSTICS, MAX_IDENTIFIER, MAX_NUMBER, MAX_STRING, MAX_TOKENS
from moec.spec.quantities import SUFFIX_VALUES
from moec.spec.source import Source, Span


class Token(NamedTuple):
    """One token; `text` is what it means: the escapes of a STRING are resolved, its quotes are gone."""

    type: str
    text: str
    start: int
    end: int


class Lexed(NamedTuple):
    """All tokens of a file in order, and what was wrong with its text."""

    tokens: list[Token]
    diagnostics: list[Diagnostic]


KEYWORDS: Final = {
    word: word.upper()
    for word in ("let", "use", "as", "extends", "assert", "if", "else", "and", "or", "not", "true", "false")
}

MARKS: Final = {
    "\n": "NEWLINE",
    ",": "COMMA",
    "=": "ASSIGN",
    ":": "COLON",
    ".": "DOT",
    "{": "LBRACE",
    "}": "RBRACE",
    "[": "LBRACKET",
    "]": "RBRACKET",
    "(": "LPAREN",
    ")": "RPAREN",
    "==": "EQUAL",
    "!=": "UNEQUAL",
    "<": "LESS",
    "<=": "AT_MOST",
    ">": "GREATER",
    ">=": "AT_LEAST",
    "+": "PLUS",
    "-": "MINUS",
    "*": "STAR",
    "/": "SLASH",
    "//": "FLOOR",
    "%": "PERCENT",
}

FOREIGN: Final = {
    "&&": "and",
    "||": "or",
    "!": "not",
    "===": "==",
    "!==": "!=",
    "<>": "!=",
    ":=": "=",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2260": "!=",
    "\u2212": "-",
    "\u2013": "-",
    "\u00d7": "*",
    "\u00b7": "*",
    "\u00f7": "/",
}
"""Marks that people bring along from elsewhere, and what moec writes for them."""

# Controls; line separators that some tools take for line ends; marks that turn the direction of writing (Trojan Source,
# arXiv:2111.00169); halves of surrogate pairs. `\ufeff` may open a file, where it is skipped before this is asked.
FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t]+)
    | (?P<newline>\r\n|\r|\n)
    | (?P<doc>///[^\r\n]*)
    | (?P<comment>\#[^\r\n]*)
    | (?P<number>[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9][0-9_]*(?!\w))?
        (?P<suffix>(?:(?:[kMGTP]B|[KMGTP]iB|[GTPEZ]?FLOP)/s(?!\w))|\w*))
    | (?P<name>[^\W\d]\w*)
    | (?P<string>"(?:[^"\\\r\n]|\\[^\r\n])*+")
    | (?P<single>'(?:[^'\\\r\n]|\\[^\r\n])*+')
    | (?P<unclosed>["'][^\r\n]*)
    | (?P<foreign>&&|\|\||===|!==|<>|:=|!(?!=)|[\u2264\u2265\u2260\u2212\u2013\u00d7\u00b7\u00f7])
    | (?P<semicolon>;)
    | (?P<mark>==|!=|<=|>=|//|[,=:.{}\[\]()<>+\-*/%])
    | (?P<smart>[\u201c\u201d\u2018\u2019][^\r\n]*?[\u201c\u201d\u2018\u2019])
    | (?P<odd>.)
    """,
    re.VERBOSE,
)

_TOPOLOGY = re.compile(r"[0-9]{1,6}(?:x[0-9]{1,6}){1,7}")
_SOUND_NUMBER = re.compile(r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+(?:_[0-9]+)*)?")
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))")
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
# What closes the line behind a text that nobody closed: `source = "abc }`.
_TAIL = " \t)]},"


def lex(source: Source) -> Lexed:
    """The tokens of `source`: those of the grammar, and DOC, COMMENT and NEWLINE for every line end."""
    lexer = _Lexer(source)
    lexer.run()
    return Lexed(lexer.tokens, lexer.diagnostics)


class _Lexer:
    def __init__(self, source: Source) -> None:
        self.file = source.name
        self.text = source.text
        self.tokens: list[Token] = []
        self.diagnostics: list[Diagnostic] = []

    def run(self) -> None:
        text = self.text
        self._tell_forbidden()
        position = 1 if text.startswith("\ufeff") else 0
        tokens, end = self.tokens, len(text)
        while position < end:
            match = _TOKEN.match(text, position)
            assert match is not None, "the pattern takes any character"
            kind = match.lastgroup
            position = match.end()
            if kind == "space":
                continue
            if kind == "name" or kind == "suffix" or kind == "number":
                (self._name if kind == "name" else self._number)(match)
            elif kind == "mark":
                tokens.append(Token(MARKS[match[0]], match[0], match.start(), position))
            elif kind == "newline":
                tokens.append(Token("NEWLINE", "\n", match.start(), position))
            else:
                position = self._rarer(str(kind), match)
            if len(tokens) > MAX_TOKENS:
                self._tell(codes.too_many_tokens(self._span(position - 1, position)))
            if len(tokens) > MAX_TOKENS or len(self.diagnostics) > MAX_DIAGNOSTICS:
                tokens.append(Token("BROKEN", "", position, position))
                return

    def _tell_forbidden(self) -> None:
        """Tells each run of forbidden characters once."""
        last = -2
        for match in FORBIDDEN.finditer(self.text, 1 if self.text.startswith("\ufeff") else 0):
            if match.start() != last + 1:
                self._tell(codes.forbidden_character(self._span(match.start(), match.end()), match[0]))
            if len(self.diagnostics) > MAX_DIAGNOSTICS:
                return
            last = match.start()

    def _span(self, start: int, end: int) -> Span:
        return Span(self.file, start, end)

    def _tell(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)

    def _add(self, kind: str, text: str, match: re.Match[str]) -> None:
        self.tokens.append(Token(kind, text, match.start(), match.end()))

    def _name(self, match: re.Match[str]) -> None:
        word = match[0]
        kind = KEYWORDS.get(word, "NAME")
        if len(word) > MAX_IDENTIFIER:
            self._tell(codes.name_too_long(self._span(match.start(), match.end()), len(word)))
            word, kind = word[:MAX_IDENTIFIER], "NAME"
        if not word.isascii():
            self._tell(codes.name_not_ascii(self._span(match.start(), match.end()), word))
            word = word.encode("ascii", "replace").decode().replace("?", "_")
        self._add(kind, word, match)

    def _number(self, match: re.Match[str]) -> None:
        word, suffix = match[0], match["suffix"]
        span = self._span(match.start(), match.end())
        if len(word) > MAX_NUMBER:
            self._tell(codes.number_too_long(span, len(word)))
        elif _TOPOLOGY.fullmatch(word):
            self._add("TOPOLOGY", word, match)
            return
        elif not _SOUND_NUMBER.fullmatch(word[: len(word) - len(suffix)]):
            self._tell(codes.malformed_number(span, word))
        elif suffix and suffix not in SUFFIX_VALUES:
            at_fault = self._span(match.start("suffix"), match.end())
            self._tell(codes.unknown_suffix(at_fault, word, suffix, near.nearest(suffix, SUFFIX_VALUES)))
        else:
            self._add("NUMBER", word, match)
            return
        self._add("BROKEN", "", match)

    def _rarer(self, kind: str, match: re.Match[str]) -> int:
        """Takes the token that `match` begins; where the next one starts."""
        if kind == "string" or kind == "single":
            return self._string(kind, match)
        if kind == "doc" or kind == "comment":
            self._add(kind.upper(), FORBIDDEN.sub(" ", match[0]), match)
            return match.end()
        if kind == "unclosed":
            return self._unclosed(match)
        span = self._span(match.start(), match.end())
        if kind == "foreign":
            wanted = FOREIGN[match[0]]
            self._tell(codes.foreign_mark(span, match[0], wanted))
            self._add(KEYWORDS.get(wanted) or MARKS[wanted], wanted, match)
        elif kind == "semicolon":
            self._tell(codes.semicolon(span))
            self._add("SEMICOLON", ";", match)
        elif kind == "smart":
            self._tell(codes.wrong_quotes(span, match[0][1:-1]))
            self._add("STRING", FORBIDDEN.sub(" ", match[0][1:-1]), match)
        else:
            self._odd(match, span)
        return match.end()

    def _odd(self, match: re.Match[str], span: Span) -> None:
        if match[0].isspace() and not FORBIDDEN.match(match[0]):
            self._tell(codes.odd_space(span, match[0]))
            return
        if not FORBIDDEN.match(match[0]):
            self._tell(codes.unexpected_character(span, match[0]))
        self._add("BROKEN", "", match)

    def _string(self, kind: str, match: re.Match[str]) -> int:
        span = self._span(match.start(), match.end())
        inner = FORBIDDEN.sub(" ", match[0][1:-1])
        value = self._unescape(inner, match.start() + 1)
        if len(value) > MAX_STRING:
            self._tell(codes.text_too_long(span, len(value)))
            self._add("BROKEN", "", match)
            return match.end()
        if kind == "single":
            self._tell(codes.wrong_quotes(span, inner))
        if "\t" in inner:
            place = match.start() + 1 + inner.index("\t")
            self._tell(codes.tab_in_text(self._span(place, place + 1)))
        self._add("STRING", value, match)
        return match.end()

    def _unescape(self, inner: str, offset: int) -> str:
        def resolve(escape: re.Match[str]) -> str:
            value = _SIMPLE_ESCAPES.get(escape[2] or "")
            if value is None and escape[1] is not None and _is_scalar(int(escape[1], 16)):
                value = chr(int(escape[1], 16))
            if value is None:
                self._tell(codes.bad_escape(self._span(offset + escape.start(), offset + escape.end()), escape[0]))
                return ""
            return value

        return _ESCAPE.sub(resolve, inner) if "\\" in inner else inner

    def _unclosed(self, match: re.Match[str]) -> int:
        end = match.start() + max(1, len(match[0].rstrip(_TAIL)))
        self._tell(codes.unclosed_text(self._span(match.start(), end), match[0][0]))
        self.tokens.append(Token("BROKEN", "", match.start(), end))
        return end


def _is_scalar(number: int) -> bool:
    """Whether `number` is a character that a text may hold: any Unicode scalar value but NUL."""
    return 0 < number < 0xD800 or 0xE000 <= number <= 0x10FFFF
