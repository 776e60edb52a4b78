"""MOE1xxx: the text of a spec and the order of its words."""

from __future__ import annotations

from typing import Final

from moec.spec import limits
from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic, Fix, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE1001", "error", "something else was expected here"),
    CodeInfo("MOE1002", "error", "`=` is missing between a name and its value"),
    CodeInfo("MOE1003", "error", "`:` stands where `=` belongs"),
    CodeInfo("MOE1004", "error", "a block is never closed"),
    CodeInfo("MOE1005", "error", "a bracket is never closed"),
    CodeInfo("MOE1006", "error", "a bracket or brace closes nothing"),
    CodeInfo("MOE1007", "error", "`;` separates nothing in a spec"),
    CodeInfo("MOE1008", "error", "a text is in the wrong quotes"),
    CodeInfo("MOE1009", "error", "a text is never closed"),
    CodeInfo("MOE1010", "error", "the suffix of a number is unknown"),
    CodeInfo("MOE1011", "error", "a number is malformed"),
    CodeInfo("MOE1012", "error", "a comma is missing between two values"),
    CodeInfo("MOE1013", "error", "a comment begins with the wrong mark"),
    CodeInfo("MOE1014", "error", "an escape in a text is unknown"),
    CodeInfo("MOE1015", "error", "a control character is in the file"),
    CodeInfo("MOE1016", "error", "a character has no meaning here"),
    CodeInfo("MOE1017", "error", "a word of the language stands where a name belongs"),
    CodeInfo("MOE1018", "error", "an operator is from another language"),
    CodeInfo("MOE1019", "error", "comparisons are chained"),
    CodeInfo("MOE1020", "error", "a value is missing"),
    CodeInfo("MOE1021", "error", "a block at the top has no name"),
    CodeInfo("MOE1022", "error", "a block inside a block has a name"),
    CodeInfo("MOE1023", "error", "a statement is in the wrong place"),
    CodeInfo("MOE1024", "error", "two statements stand on one line without a comma"),
    CodeInfo("MOE1025", "error", "`=` stands before a block"),
    CodeInfo("MOE1026", "error", "`{` is not on the line of its block"),
    CodeInfo("MOE1027", "error", "a space parts a number and its suffix"),
    CodeInfo("MOE1028", "warning", "a doc comment documents nothing"),
    CodeInfo("MOE1029", "error", "an argument has a name"),
    CodeInfo("MOE1030", "error", "blocks and brackets are nested too deeply"),
    CodeInfo("MOE1031", "error", "an expression has too many operators"),
    CodeInfo("MOE1032", "error", "a name is too long"),
    CodeInfo("MOE1033", "error", "a number is too long"),
    CodeInfo("MOE1034", "error", "a text is too long"),
    CodeInfo("MOE1035", "error", "a list is too long"),
    CodeInfo("MOE1036", "error", "a file has too many words"),
    CodeInfo("MOE1037", "error", "a name has a letter that is not ASCII"),
    CodeInfo("MOE1038", "error", "`{` is missing behind the head of a block"),
    CodeInfo("MOE1039", "error", "there are too many mistakes to tell them all"),
)


def unexpected(span: Span, found: str, expected: str, *helps: str) -> Diagnostic:
    return Diagnostic("MOE1001", "error", f"expected {expected}, found {found}", span, "here", helps=helps)


def missing_equals(span: Span, name: str) -> Diagnostic:
    fix = Fix("insert `=`", Span(span.file, span.start, span.start), "= ")
    message = f"`=` is missing between `{name}` and its value"
    return Diagnostic(
        "MOE1002", "error", message, span, "`=` belongs before this", helps=(f"write `{name} = …`",), fixes=(fix,)
    )


def colon_for_equals(span: Span, name: str) -> Diagnostic:
    fix = Fix("replace `:` by `=`", span, " =")
    return Diagnostic(
        "MOE1003",
        "error",
        f"`:` stands where `=` belongs, after `{name}`",
        span,
        helps=(f"write `{name} = …`",),
        fixes=(fix,),
    )


def colon_before_block(span: Span, name: str) -> Diagnostic:
    fix = Fix("remove `:`", span, "")
    return Diagnostic(
        "MOE1003", "error", f"a block has no `:` after `{name}`", span, helps=(f"write `{name} {{ … }}`",), fixes=(fix,)
    )


def unclosed_block(span: Span, name: str, noticed: Span, others: tuple[Span, ...] = ()) -> Diagnostic:
    labels = (Label(noticed, "`}` is missed before this"), *(Label(other, "still open, too") for other in others))
    return Diagnostic(
        "MOE1004",
        "error",
        f"the block `{name}` is never closed",
        span,
        "opened here",
        labels,
        helps=("close it with `}`",),
    )


def unclosed_bracket(span: Span, opener: str, closer: str, noticed: Span) -> Diagnostic:
    return Diagnostic(
        "MOE1005",
        "error",
        f"`{opener}` is never closed",
        span,
        "opened here",
        (Label(noticed, f"`{closer}` is missed before this"),),
        helps=(f"close it with `{closer}`",),
    )


def closes_nothing(span: Span, closer: str) -> Diagnostic:
    fix = Fix(f"remove `{closer}`", span, "")
    return Diagnostic("MOE1006", "error", f"`{closer}` closes nothing", span, helps=("remove it",), fixes=(fix,))


def closes_another(span: Span, closer: str, opener: str, opened: Span) -> Diagnostic:
    return Diagnostic(
        "MOE1006", "error", f"`{closer}` cannot close `{opener}`", span, others=(Label(opened, "opened here"),)
    )


def semicolon(span: Span) -> Diagnostic:
    fix = Fix("remove `;`", span, "")
    help_text = "a field ends at the end of its line, or at a comma"
    return Diagnostic("MOE1007", "error", "`;` separates nothing in a spec", span, helps=(help_text,), fixes=(fix,))


def wrong_quotes(span: Span, inner: str) -> Diagnostic:
    fixes = () if '"' in inner else (Fix("use straight double quotes", span, f'"{inner}"'),)
    return Diagnostic("MOE1008", "error", 'a text stands in straight double quotes: `"…"`', span, fixes=fixes)


def unclosed_text(span: Span, quote: str) -> Diagnostic:
    helps = (f"close it with `{quote}` on the same line; a line end in a text is written `\\n`",)
    return Diagnostic("MOE1009", "error", "this text is never closed", span, helps=helps)


def unknown_suffix(span: Span, number: str, suffix: str, near: str | None) -> Diagnostic:
    digits = number[: len(number) - len(suffix)]
    helps: tuple[str, ...] = (f"did you mean `{digits}{near}`?",) if near else ()
    known = (
        "counts end in k M B T or Ki Mi Gi Ti, bytes in kB MB GB or KiB MiB GiB, "
        "work in TFLOP, time in ms s min h d, rates in …B/s or …FLOP/s"
    )
    fixes = (Fix(f"replace `{suffix}` by `{near}`", span, near),) if near else ()
    message = f"`{suffix}` is no suffix of a number"
    return Diagnostic("MOE1010", "error", message, span, helps=(*helps, known), fixes=fixes)


def malformed_number(span: Span, number: str) -> Diagnostic:
    return Diagnostic(
        "MOE1011",
        "error",
        f"`{number}` is no number",
        span,
        helps=("numbers look like `42`, `128_256`, `0.9`, `1e-4`, `4Ki`, `80GiB`, `8x8x8`",),
    )


def missing_comma(span: Span, before: Span) -> Diagnostic:
    fix = Fix("insert `,`", Span(before.file, before.end, before.end), ",")
    return Diagnostic(
        "MOE1012", "error", "a comma is missing between two values", span, "`,` belongs before this", fixes=(fix,)
    )


def wrong_comment_mark(span: Span, mark: str) -> Diagnostic:
    fix = Fix("replace by `#`", span, "#")
    return Diagnostic(
        "MOE1013", "error", f"a comment begins with `#`, not with `{mark}`", span, helps=("write `# …`",), fixes=(fix,)
    )


def doc_behind_code(span: Span) -> Diagnostic:
    fix = Fix("replace by `#`", Span(span.file, span.start, span.start + 3), "#")
    return Diagnostic(
        "MOE1013",
        "error",
        "a doc comment stands on a line of its own, above what it documents",
        span,
        helps=("write `# …` behind code",),
        fixes=(fix,),
    )


def bad_escape(span: Span, escape: str) -> Diagnostic:
    helps = (r"known are `\n` `\t` `\"` `\\` and `\u{1F600}`; a backslash itself is `\\`",)
    return Diagnostic("MOE1014", "error", f"`{escape}` is no escape", span, helps=helps)


def forbidden_character(span: Span, char: str) -> Diagnostic:
    why = "control characters and marks that turn the direction of writing make a file look other than it is"
    helps = (f"remove it; in a text write `\\u{{{ord(char):X}}}`",) if _may_be_escaped(char) else ("remove it",)
    return Diagnostic(
        "MOE1015",
        "error",
        f"the character U+{ord(char):04X} may not stand in a spec",
        span,
        helps=helps,
        notes=(why,),
        fixes=(Fix("remove it", span, ""),),
    )


def tab_in_text(span: Span) -> Diagnostic:
    return Diagnostic(
        "MOE1015",
        "error",
        "a tab may not stand in a text",
        span,
        helps=(r"write `\t`",),
        fixes=(Fix(r"write \t", span, r"\t"),),
    )


def unexpected_character(span: Span, char: str) -> Diagnostic:
    return Diagnostic("MOE1016", "error", f"`{char}` has no meaning here", span)


def odd_space(span: Span, char: str) -> Diagnostic:
    fix = Fix("replace by a plain space", span, " ")
    return Diagnostic("MOE1016", "error", f"U+{ord(char):04X} is no plain space", span, fixes=(fix,))


def word_as_name(span: Span, word: str) -> Diagnostic:
    return Diagnostic(
        "MOE1017", "error", f"`{word}` is a word of the language and cannot be a name", span, helps=(f"try `{word}_`",)
    )


def foreign_mark(span: Span, mark: str, wanted: str) -> Diagnostic:
    spaced = f"{wanted} " if wanted == "not" else wanted
    fix = Fix(f"write `{wanted}`", span, spaced)
    return Diagnostic("MOE1018", "error", f"`{mark}` is written `{wanted}` here", span, fixes=(fix,))


def power(span: Span) -> Diagnostic:
    return Diagnostic("MOE1018", "error", "there is no power operator", span, helps=("multiply: `x * x`",))


def assign_for_equal(span: Span) -> Diagnostic:
    fix = Fix("write `==`", span, "==")
    return Diagnostic("MOE1018", "error", "`=` gives a value; `==` compares", span, fixes=(fix,))


def comparison_chain(span: Span, operator: str) -> Diagnostic:
    return Diagnostic(
        "MOE1019",
        "error",
        f"a second comparison, `{operator}`, cannot follow the first",
        span,
        helps=("write `a < b and b < c`",),
    )


def missing_value(span: Span, after: str, *helps: str) -> Diagnostic:
    return Diagnostic("MOE1020", "error", f"a value is missing after `{after}`", span, helps=helps)


def block_without_name(span: Span, kind: str) -> Diagnostic:
    helps = (f"write `{kind} some_name {{ … }}`",)
    return Diagnostic("MOE1021", "error", f"this `{kind}` has no name", span, helps=helps)


def block_with_name(span: Span, kind: str, what: str) -> Diagnostic:
    return Diagnostic(
        "MOE1022",
        "error",
        f"a block inside a block has no {what}",
        span,
        helps=(f"write `{kind} {{ … }}`",),
    )


def misplaced(span: Span, word: str, place: str) -> Diagnostic:
    return Diagnostic("MOE1023", "error", f"`{word}` stands {place}", span)


def two_on_a_line(span: Span) -> Diagnostic:
    fix = Fix("insert `,`", Span(span.file, span.start, span.start), ", ")
    helps = ("begin a new line, or write a comma before it",)
    return Diagnostic(
        "MOE1024", "error", "this begins a second statement on the same line", span, helps=helps, fixes=(fix,)
    )


def equals_before_block(span: Span, name: str) -> Diagnostic:
    fix = Fix("remove `=`", span, "")
    return Diagnostic(
        "MOE1025", "error", f"a block has no `=` after `{name}`", span, helps=(f"write `{name} {{ … }}`",), fixes=(fix,)
    )


def brace_on_next_line(span: Span, name: str) -> Diagnostic:
    return Diagnostic(
        "MOE1026", "error", f"`{{` is not on the line of `{name}`", span, helps=(f"write `{name} {{` on one line",)
    )


def space_before_suffix(span: Span, number: str, suffix: str) -> Diagnostic:
    fix = Fix("remove the space", span, number + suffix)
    return Diagnostic(
        "MOE1027",
        "error",
        "no space parts a number and its suffix",
        span,
        helps=(f"write `{number}{suffix}`",),
        fixes=(fix,),
    )


def idle_doc(span: Span) -> Diagnostic:
    helps = ("`///` documents the field or block below it; other comments begin with `#`",)
    return Diagnostic("MOE1028", "warning", "this doc comment documents nothing", span, helps=helps)


def named_argument(span: Span, name: str) -> Diagnostic:
    helps = ("arguments are told apart by their order: `round_up(x, 128)`",)
    return Diagnostic("MOE1029", "error", f"the argument `{name}` has a name", span, helps=helps)


def nested_too_deeply(span: Span) -> Diagnostic:
    return Diagnostic(
        "MOE1030",
        "error",
        f"blocks and brackets are nested more than {limits.MAX_NESTING} deep",
        span,
        notes=(_UNREAD,),
    )


def too_many_operators(span: Span) -> Diagnostic:
    return Diagnostic(
        "MOE1031",
        "error",
        f"an expression has more than {limits.MAX_OPERATORS} operators",
        span,
        helps=("name its parts with `let`",),
        notes=(_UNREAD,),
    )


def name_too_long(span: Span, length: int) -> Diagnostic:
    message = f"a name has at most {limits.MAX_IDENTIFIER} characters, this one has {length}"
    return Diagnostic("MOE1032", "error", message, span)


def number_too_long(span: Span, length: int) -> Diagnostic:
    message = f"a number has at most {limits.MAX_NUMBER} characters, this one has {length}"
    return Diagnostic("MOE1033", "error", message, span)


def text_too_long(span: Span, length: int) -> Diagnostic:
    message = f"a text has at most {limits.MAX_STRING} characters, this one has {length}"
    return Diagnostic("MOE1034", "error", message, span)


def list_too_long(span: Span) -> Diagnostic:
    message = f"a list has at most {limits.MAX_LIST_ITEMS} values"
    return Diagnostic("MOE1035", "error", message, span, notes=(_UNREAD,))


def too_many_tokens(span: Span) -> Diagnostic:
    message = f"a file has at most {limits.MAX_TOKENS} words and marks"
    return Diagnostic("MOE1036", "error", message, span, notes=(_UNREAD,))


def name_not_ascii(span: Span, name: str) -> Diagnostic:
    helps = ("names are made of the letters a to z and A to Z, digits and `_`",)
    return Diagnostic("MOE1037", "error", f"the name `{name}` has a letter that is not ASCII", span, helps=helps)


def missing_brace(span: Span, head: str) -> Diagnostic:
    fix = Fix("insert `{`", Span(span.file, span.start, span.start), "{ ")
    helps = (f"write `{head} {{`",)
    return Diagnostic(
        "MOE1038", "error", f"`{{` is missing behind `{head}`", span, "the block begins here", helps=helps, fixes=(fix,)
    )


def too_many_mistakes(span: Span) -> Diagnostic:
    message = f"more than {limits.MAX_DIAGNOSTICS} mistakes; the rest is not told"
    return Diagnostic("MOE1039", "error", message, span)


_UNREAD = "what follows in this file was not read"


def _may_be_escaped(char: str) -> bool:
    return char != "\0" and not 0xD800 <= ord(char) <= 0xDFFF
