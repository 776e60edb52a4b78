"""tokens -> balanced tokens. Decides which newlines end a statement, closes what is open, and sets comments aside.

After this pass every `{ [ (` has its partner, newlines inside brackets are gone, and comments are found by the place
that they belong to; so the grammar knows no comments, and a forgotten brace cannot derail the parser.
Non-goals: the order of words (`parser.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from moec.spec.braces import braces_match, head_without_brace, is_head
from moec.spec.codes import syntax as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.lexer import Lexed, Token
from moec.spec.limits import MAX_DIAGNOSTICS, MAX_LIST_ITEMS, MAX_NESTING, MAX_OPERATORS
from moec.spec.source import Source, Span

END: Final = "$END"
_CLOSER: Final = {"LBRACE": "RBRACE", "LBRACKET": "RBRACKET", "LPAREN": "RPAREN"}
_TEXT: Final = {"LBRACE": "{", "RBRACE": "}", "LBRACKET": "[", "RBRACKET": "]", "LPAREN": "(", "RPAREN": ")"}
_OPERATORS: Final = frozenset(
    (
        *("DOT", "PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT", "AND", "OR", "NOT", "IF"),
        *("EQUAL", "UNEQUAL", "LESS", "AT_MOST", "GREATER", "AT_LEAST"),
    )
)
_VALUE_ENDS: Final = frozenset(
    ("NAME", "NUMBER", "TOPOLOGY", "STRING", "TRUE", "FALSE", "RBRACKET", "RPAREN", "BROKEN")
)
_SEPARATORS: Final = frozenset(("NEWLINE", "COMMA", "LBRACE"))
_STATEMENT_WORDS: Final = frozenset(("LET", "USE", "ASSERT"))


@dataclass(slots=True)
class Comments:
    """Comments by the offset of the token that they stand before (its start) or behind (its end)."""

    before: dict[int, tuple[str, ...]] = field(default_factory=dict)
    behind: dict[int, str] = field(default_factory=dict)
    docs: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of the grammar up to `$END`, and the comments that were among them."""

    tokens: tuple[Token, ...]
    comments: Comments
    diagnostics: tuple[Diagnostic, ...]


@dataclass(slots=True)
class _Open:
    """A bracket that waits for its partner."""

    token: Token
    name: str
    indent: int
    operators_outside: int
    body_indent: int | None = None
    commas: int = 0


def lay_out(source: Source, lexed: Lexed) -> Layout:
    """The balanced tokens of `lexed`, which is what the lexer made of `source`."""
    layout = _Layouter(source, lexed.tokens)
    layout.run()
    return Layout(tuple(layout.out), layout.comments, tuple(layout.diagnostics))


class _Layouter:
    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.file, self.length = source.name, len(source.text)
        self.tokens = tokens
        self.out: list[Token] = []
        self.comments = Comments()
        self.diagnostics: list[Diagnostic] = []
        self.stack: list[_Open] = []
        self.careful = not braces_match(tokens)
        self.spare_closers = sum((token.type == "RBRACE") - (token.type == "LBRACE") for token in tokens)
        self.line_start, self.line_indent, self.line_is_fresh = 0, 0, True
        self.newline: Token | None = None
        self.pending: list[str] = []
        self.docs: list[Token] = []
        self.statement = 0
        self.operators = 0
        self.all_operators = 0
        self.stopped = False
        self.forgotten: int | None = None
        self.forgotten_indent = 0

    def run(self) -> None:
        for index, token in enumerate(self.tokens):
            if token.type == "NEWLINE":
                self._end_line(token)
            elif token.type == "COMMENT" or token.type == "DOC":
                self._comment(token)
            else:
                if self.line_is_fresh:
                    self._begin_line(index, token)
                if self.spare_closers > 0:
                    self._open_forgotten(index, token)
                if token.type == "NAME" and self._in_brackets():
                    self._close_before_field(index, token)
                self._take(token)
            if self.stopped or len(self.diagnostics) > MAX_DIAGNOSTICS:
                break
        self._finish()

    # ---- lines and comments ----

    def _end_line(self, token: Token) -> None:
        if not self._in_brackets():
            if self.line_is_fresh:
                self._blank_line()
            self.newline = self.newline or token
        self.line_is_fresh = True
        self.line_start = token.end

    def _blank_line(self) -> None:
        wanted = self.pending or (self.out and self.out[-1].type != "LBRACE")
        if wanted and self.pending[-1:] != [""]:
            self.pending.append("")

    def _comment(self, token: Token) -> None:
        if token.type == "DOC" and self.line_is_fresh and not self._in_brackets():
            self.docs.append(token)
        else:
            if token.type == "DOC":
                self.diagnostics.append(codes.doc_behind_code(self._span(token)))
            self._plain_comment(token.text.lstrip("/#") if token.type == "DOC" else token.text[1:])
        self.line_is_fresh = False

    def _plain_comment(self, text: str) -> None:
        text = text.rstrip() or " "
        if self._in_brackets():
            before = self.comments.before
            before[self.statement] = (*before.get(self.statement, ()), text)
        elif self.line_is_fresh or not self.out:
            self.pending.append(text)
        else:
            last = self.out[-1] if self.out[-1].type != "COMMA" or len(self.out) == 1 else self.out[-2]
            self.comments.behind[last.end] = text

    def _begin_line(self, index: int, token: Token) -> None:
        self.line_is_fresh = False
        self.line_indent = token.start - self.line_start
        if self._in_brackets() and self._begins_statement(index):
            self._close_brackets(token)
            self.newline = Token("NEWLINE", "\n", self.line_start - 1, self.line_start)
        if self.careful and not self._in_brackets():
            self._close_by_indentation(index, token)

    def _begins_statement(self, index: int) -> bool:
        token = self.tokens[index]
        if token.type in _STATEMENT_WORDS:
            return True
        following = self.tokens[index + 1].type if index + 1 < len(self.tokens) else END
        return token.type == "NAME" and (following in ("ASSIGN", "LBRACE") or is_head(self.tokens, index))

    def _close_before_field(self, index: int, token: Token) -> None:
        """Closes the brackets of `f(1, 128 activation = swiglu`, where a value is followed by a field."""
        is_field = index + 1 < len(self.tokens) and self.tokens[index + 1].type == "ASSIGN"
        if is_field and self.out[-1].type in _VALUE_ENDS:
            self._close_brackets(token)
            self.newline = Token("NEWLINE", "", token.start, token.start)

    # ---- tokens ----

    def _take(self, token: Token) -> None:
        kind = token.type
        if kind in _CLOSER:
            self._open(token, self.line_indent)
        elif kind == "RBRACE":
            self._close_brace(token)
        elif kind == "RBRACKET" or kind == "RPAREN":
            self._close_bracket(token)
        elif kind == "SEMICOLON":
            self._semicolon(token)
        elif kind in _OPERATORS:
            self._operator(token)
        else:
            if kind == "COMMA":
                self._comma(token)
            elif kind == "ASSIGN":
                self._forget_operators()
            self._emit(token)

    def _emit(self, token: Token) -> None:
        if self.newline is not None:
            if self.out and self.out[-1].type not in _SEPARATORS:
                self.out.append(self.newline)
                self._forget_operators()
            self.newline = None
        if not self._in_brackets() and (not self.out or self.out[-1].type in _SEPARATORS):
            self.statement = token.start
        if self.pending or self.docs:
            self._place_comments(token)
        self.out.append(token)

    def _place_comments(self, token: Token) -> None:
        if token.type in ("RBRACE", END):
            for doc in self.docs:
                self.diagnostics.append(codes.idle_doc(self._span(doc)))
                self.pending.append(doc.text[3:].rstrip() or " ")
            self.docs = []
            while self.pending[-1:] == [""]:
                self.pending.pop()
        if self.pending:
            self.comments.before[token.start] = tuple(self.pending)
        if self.docs:
            self.comments.docs[token.start] = "\n".join(_doc_text(doc.text) for doc in self.docs)
        self.pending, self.docs = [], []

    def _semicolon(self, token: Token) -> None:
        if self._in_brackets():
            self._take(token._replace(type="COMMA"))
        else:
            self.newline = self.newline or token._replace(type="NEWLINE")

    def _operator(self, token: Token) -> None:
        self.operators += 1
        self.all_operators += 1
        self._emit(token)
        if self.all_operators > MAX_OPERATORS:
            self._stop(codes.too_many_operators(self._span(token)), token)

    def _comma(self, token: Token) -> None:
        self._forget_operators()
        if self._in_brackets():
            self.stack[-1].commas += 1
            if self.stack[-1].commas > MAX_LIST_ITEMS:
                self._stop(codes.list_too_long(self._span(token)), token)

    def _forget_operators(self) -> None:
        self.all_operators -= self.operators
        self.operators = 0

    def _stop(self, diagnostic: Diagnostic, token: Token) -> None:
        """Reads no further: what comes now is a BROKEN value, and whatever is open gets closed."""
        self.diagnostics.append(diagnostic)
        self.stopped = True
        self.out.append(Token("BROKEN", "", token.end, token.end))

    # ---- brackets ----

    def _in_brackets(self) -> bool:
        return bool(self.stack) and self.stack[-1].token.type != "LBRACE"

    def _open(self, token: Token, indent: int) -> None:
        if token.type == "LBRACE" and self._in_brackets():
            self._close_brackets(token)
        if len(self.stack) == MAX_NESTING:
            self._stop(codes.nested_too_deeply(self._span(token)), token)
            return
        name = self._name_of_block() if token.type == "LBRACE" else ""
        self._emit(token)
        self.stack.append(_Open(token, name, indent, self.operators))
        self.operators = 0

    def _name_of_block(self) -> str:
        words: list[str] = []
        for token in reversed(self.out[-4:]):
            if token.type not in ("NAME", "EXTENDS"):
                break
            words.insert(0, token.text)
        return " ".join(words[: words.index("extends")] if "extends" in words else words)

    def _open_forgotten(self, index: int, token: Token) -> None:
        """In a file with more `}` than `{`: opens the block whose head stands here without its `{`."""
        at_start = not self.out or self.newline is not None or self.out[-1].type in _SEPARATORS
        if self.forgotten is None and at_start and not self._in_brackets():
            self.forgotten = head_without_brace(self.tokens, index, self.line_indent)
            self.forgotten_indent = self.line_indent
        if self.forgotten == index:
            self.forgotten = self.newline = None
            self.spare_closers -= 1
            last = self.out[-1]
            self.diagnostics.append(codes.missing_brace(self._span(token), self._name_of_block()))
            self._open(Token("LBRACE", "{", last.end, last.end), self.forgotten_indent)

    def _close(self, closer: Token) -> _Open:
        self._emit(closer)
        opened = self.stack.pop()
        self._forget_operators()
        self.operators = opened.operators_outside
        return opened

    def _close_brace(self, token: Token) -> None:
        if not self.stack or self._is_one_too_many(token):
            self.spare_closers -= 1
            self.diagnostics.append(codes.closes_nothing(self._span(token), "}"))
            return
        if self._in_brackets():
            self._close_brackets(token)
        if self.stack:
            self._close(token)
        else:
            self.diagnostics.append(codes.closes_nothing(self._span(token), "}"))

    def _is_one_too_many(self, token: Token) -> bool:
        """In a file with more `}` than `{`: whether this one is in brackets, or behind words but of other lines."""
        if self.spare_closers > 0 and self._in_brackets():
            return True
        behind_words = token.start - self.line_start > self.line_indent
        return self.spare_closers > 0 and behind_words and self.line_indent > self.stack[-1].indent

    def _close_bracket(self, token: Token) -> None:
        opener = "LBRACKET" if token.type == "RBRACKET" else "LPAREN"
        if not self._in_brackets():
            self.diagnostics.append(codes.closes_nothing(self._span(token), token.text))
            self._emit(token._replace(type="BROKEN"))
            return
        if self.stack[-1].token.type != opener:
            self._close_wrongly(token, opener)
        else:
            self._close(token)

    def _close_wrongly(self, token: Token, opener: str) -> None:
        """Closes up to the partner of `token` where it has one; else takes it for the partner of the last bracket."""
        depth = next(
            (i for i, opened in enumerate(reversed(self.stack)) if opened.token.type == "LBRACE"), len(self.stack)
        )
        inside = [opened.token.type for opened in self.stack[len(self.stack) - depth :]]
        last = self.stack[-1].token
        if opener not in inside:
            self.diagnostics.append(codes.closes_another(self._span(token), token.text, last.text, self._span(last)))
            self._close(token._replace(type=_CLOSER[last.type]))
            return
        self._tell_unclosed(last, token)
        while self.stack[-1].token.type != opener:
            self._insert_closer()
        self._close(token)

    def _close_brackets(self, noticed: Token) -> None:
        """Closes all brackets up to the next brace, and tells of the innermost."""
        self._tell_unclosed(self.stack[-1].token, noticed)
        while self._in_brackets():
            self._insert_closer()

    def _tell_unclosed(self, opened: Token, noticed: Token) -> None:
        closer = _TEXT[_CLOSER[opened.type]]
        self.diagnostics.append(codes.unclosed_bracket(self._span(opened), opened.text, closer, self._span(noticed)))

    def _insert_closer(self) -> _Open:
        end = self.out[-1].end
        kind = _CLOSER[self.stack[-1].token.type]
        return self._close(Token(kind, _TEXT[kind], end, end))

    def _close_by_indentation(self, index: int, token: Token) -> None:
        """In a file whose braces do not match: closes the blocks that the indentation says are over."""
        all_over = self.tokens[index].type in ("LET", "USE") or is_head(self.tokens, index)
        if self.stack and self.stack[-1].body_indent is None and token.type != "RBRACE":
            began_behind_brace = self.out[-1] is not self.stack[-1].token
            self.stack[-1].body_indent = self.stack[-1].indent + 1 if began_behind_brace else self.line_indent
        self._close_blocks(token, [opened for opened in self.stack if all_over or self._is_over(opened, token)])

    def _is_over(self, opened: _Open, token: Token) -> bool:
        if token.type == "RBRACE":
            return self.line_indent < opened.indent
        body_is_indented = opened.body_indent is not None and opened.body_indent > opened.indent
        return self.line_indent <= opened.indent and body_is_indented

    def _close_blocks(self, noticed: Token, over: list[_Open]) -> None:
        """Closes the blocks of `over`, the innermost last, together with all inside them; told as one mistake."""
        if not over:
            return
        first = self.stack.index(over[0])
        closing = self.stack[first:]
        newline, self.newline = self.newline, None
        while len(self.stack) > first:
            self._insert_closer()
        self.newline = newline
        inner, others = closing[-1], tuple(self._span(opened.token) for opened in reversed(closing[:-1]))
        self.diagnostics.append(codes.unclosed_block(self._span(inner.token), inner.name, self._span(noticed), others))

    def _finish(self) -> None:
        end = Token(END, "", self.length, self.length)
        if self.stopped or len(self.diagnostics) > MAX_DIAGNOSTICS:
            self.pending, self.docs = [], []
            while self.stack:
                self._insert_closer()
        if self._in_brackets():
            self._close_brackets(end)
        self._close_blocks(end, self.stack[:])
        self.newline = None
        self._emit(end)

    def _span(self, token: Token) -> Span:
        return Span(self.file, token.start, token.end)


def _doc_text(text: str) -> str:
    return text[3:].removeprefix(" ").rstrip()
