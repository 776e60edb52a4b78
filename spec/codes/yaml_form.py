"""MOE11xx: the YAML form of a spec."""

from __future__ import annotations

from typing import Final

from moec.spec import limits
from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE1101", "error", "the file is no YAML"),
    CodeInfo("MOE1102", "error", "YAML anchors and aliases are not read"),
    CodeInfo("MOE1103", "error", "YAML tags are not read"),
    CodeInfo("MOE1104", "error", "a YAML key is written twice"),
    CodeInfo("MOE1105", "error", "YAML of another shape belongs here"),
    CodeInfo("MOE1106", "error", "a spec is one YAML document without directives"),
    CodeInfo("MOE1107", "error", "a YAML key is no name"),
    CodeInfo("MOE1108", "error", "a YAML file has too many expressions"),
)

MAX_EXPRESSIONS: Final = 2000
"""Values of one YAML file that are more than a number or a name. Assumption: keeps the worst file below a second."""


def no_yaml(span: Span, problem: str) -> Diagnostic:
    return Diagnostic("MOE1101", "error", f"this is no YAML: {problem}", span)


def no_anchors(span: Span) -> Diagnostic:
    helps = ("write the value out, or take it over with `extends`",)
    return Diagnostic("MOE1102", "error", "anchors and aliases (`&`, `*`) are not read", span, helps=helps)


def no_tags(span: Span, tag: str) -> Diagnostic:
    return Diagnostic("MOE1103", "error", f"the tag `{tag}` is not read", span, helps=("remove it",))


def key_twice(span: Span, key: str, first: Span) -> Diagnostic:
    return Diagnostic(
        "MOE1104", "error", f"the key `{key}` is written twice", span, others=(Label(first, "first here"),)
    )


def wrong_shape(span: Span, what: str, wanted: str) -> Diagnostic:
    return Diagnostic("MOE1105", "error", f"{what} must be {wanted}", span)


def one_document(span: Span) -> Diagnostic:
    return Diagnostic("MOE1106", "error", "a spec is one YAML document without directives", span)


def key_is_no_name(span: Span, key: str) -> Diagnostic:
    helps = (f"names are made of ASCII letters, digits and `_`, at most {limits.MAX_IDENTIFIER} of them",)
    return Diagnostic("MOE1107", "error", f"the key `{key[:80]}` is no name", span, helps=helps)


def too_many_expressions(span: Span) -> Diagnostic:
    message = f"a YAML file has at most {MAX_EXPRESSIONS} values that are more than a number or a name"
    return Diagnostic("MOE1108", "error", message, span, helps=("write the spec in `.moe`",))
