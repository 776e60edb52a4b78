"""MOE0xxx: files, and the files that they use."""

from __future__ import annotations

from typing import Final

from moec.spec import limits
from moec.spec.codes.info import CodeInfo
from moec.spec.diagnostics import Diagnostic, Label
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE0001", "error", "a file does not exist"),
    CodeInfo("MOE0002", "error", "a path leads to something else than a file"),
    CodeInfo("MOE0003", "error", "a file is too large"),
    CodeInfo("MOE0004", "error", "a file is not UTF-8"),
    CodeInfo("MOE0005", "error", "a file cannot be read"),
    CodeInfo("MOE0006", "error", "the path of a used file is not a plain relative one"),
    CodeInfo("MOE0007", "error", "a used file lies outside the project"),
    CodeInfo("MOE0008", "error", "files use one another in a circle"),
    CodeInfo("MOE0009", "error", "too many files are used"),
    CodeInfo("MOE0010", "error", "the name of a file does not say what is in it"),
    CodeInfo("MOE0011", "error", "the files are too large together"),
)


def file_not_found(span: Span, path: str, near: str | None) -> Diagnostic:
    helps = (f"did you mean `{near}`?",) if near else ()
    return Diagnostic("MOE0001", "error", f"the file `{path}` does not exist", span, helps=helps)


def not_a_file(span: Span, path: str, what: str) -> Diagnostic:
    return Diagnostic("MOE0002", "error", f"`{path}` is {what}, not a file", span)


def file_too_large(span: Span, path: str) -> Diagnostic:
    message = f"`{path}` is larger than {limits.MAX_FILE_BYTES >> 20} MiB, which no spec may be"
    return Diagnostic("MOE0003", "error", message, span)


def not_utf8(span: Span, path: str, line: int, byte: int) -> Diagnostic:
    message = f"`{path}` is not UTF-8: the byte 0x{byte:02X} in line {line} begins no character"
    return Diagnostic("MOE0004", "error", message, span, helps=("save the file as UTF-8",))


def unreadable(span: Span, path: str, reason: str) -> Diagnostic:
    return Diagnostic("MOE0005", "error", f"`{path}` cannot be read: {reason}", span)


def not_plain_path(span: Span, reason: str) -> Diagnostic:
    helps = ('write a path relative to this file, with `/`: `use "parts/base.moe" as base`',)
    return Diagnostic("MOE0006", "error", f"the path of a used file {reason}", span, helps=helps)


def outside_project(span: Span, path: str, root: str) -> Diagnostic:
    notes = (
        f"the project is `{root}`: the nearest folder above the spec with a moec.root, .git or pyproject.toml, "
        "or else the spec's own folder",
    )
    return Diagnostic("MOE0007", "error", f"`{path}` lies outside the project", span, notes=notes)


def use_cycle(span: Span, chain: tuple[str, ...], others: tuple[Span, ...]) -> Diagnostic:
    if len(chain) == 2:
        return Diagnostic("MOE0008", "error", f"`{chain[0]}` uses itself", span)
    message = "files use one another in a circle: " + " → ".join(f"`{name}`" for name in chain)
    labels = tuple(Label(other, "which is used here") for other in others)
    return Diagnostic("MOE0008", "error", message, span, others=labels)


def too_many_files(span: Span) -> Diagnostic:
    return Diagnostic("MOE0009", "error", f"a spec uses at most {limits.MAX_FILES} files", span)


def unknown_kind_of_file(span: Span, path: str) -> Diagnostic:
    helps = ("a spec's name ends in `.moe`, or in `.moe.yaml` for the YAML form",)
    return Diagnostic("MOE0010", "error", f"`{path}` is no spec by its name", span, helps=helps)


def too_many_bytes(span: Span) -> Diagnostic:
    message = f"the files of a spec have at most {limits.MAX_PROJECT_BYTES >> 20} MiB together"
    return Diagnostic("MOE0011", "error", message, span)
