"""Warnings that a comment allows: `# moec: allow MOE6202: a smoke test`, with the reason.

Such a comment stands on the line of the warning or, alone on its line, on the one above. Specs with and without it
compile to the same program. Errors cannot be allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from moec.spec.codes import allowances as codes
from moec.spec.diagnostics import Diagnostic, has_errors
from moec.spec.loader import LoadedFiles
from moec.spec.source import Source, Sources, Span

MARK: Final = "moec: allow"
_COMMENT: Final = re.compile(r"#[ \t]*moec:[ \t]*allow\b[ \t]*(?P<code>[^\s:]*)[ \t]*(?::[ \t]*(?P<reason>.*))?")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"?')


_Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a comment says: `line` (from 1) is the one that it is about."""

    span: Span
    line: int
    code: str
    reason: str

    @property
    def key(self) -> _Key:
        """File, line and code of what it takes back."""
        return (self.span.file, self.line, self.code)


def without_allowed(told: Iterable[Diagnostic], sources: Sources) -> tuple[Diagnostic, ...]:
    """`told` without the warnings that the texts allow where they stand."""
    kept, _ = _taken_back(told, _all_allowances(sources), sources, lambda span: span)
    return tuple(kept)


def check_allowances(
    told: Iterable[Diagnostic],
    loaded: LoadedFiles,
    real: Callable[[Span], Span] = lambda span: span,
    address: Callable[[Span], Span] = lambda span: span,
) -> tuple[Diagnostic, ...]:
    """`told` without what is allowed, and with what is wrong with the allowances of the main file.

    `real` makes the places of `told` places of the texts, and `address` those of the texts places like those of `told`.
    Warnings: MOE9301; MOE9302 where there are no errors, which leave much untold.
    """
    told, found = tuple(told), _all_allowances(loaded.sources)
    kept, used = _taken_back(told, found, loaded.sources, real)
    is_whole = not loaded.broken and not has_errors(told)
    for allowance in (one for one in found if one.span.file == loaded.main):
        fault, at = _fault(allowance), address(allowance.span)
        if fault:
            kept.append(codes.allowance_not_followed(at, fault))
        elif is_whole and allowance.key not in used:
            kept.append(codes.allowance_unused(at, allowance.code))
    return tuple(kept)


def _all_allowances(sources: Sources) -> list[Allowance]:
    return [one for source in sources.values() for one in read_allowances(source)]


def _taken_back(
    told: Iterable[Diagnostic], found: list[Allowance], sources: Sources, real: Callable[[Span], Span]
) -> tuple[list[Diagnostic], set[_Key]]:
    """What is left of `told`, and the keys of the allowances that took something back."""
    valid = {one.key for one in found if not _fault(one)}
    if not valid:
        return list(told), set()
    kept: list[Diagnostic] = []
    used: set[_Key] = set()
    for one in told:
        span = real(one.span)
        source = sources.get(span.file)
        key = (span.file, source.position(span.start).line if source else 0, one.code)
        if one.severity == "warning" and key in valid:
            used.add(key)
        else:
            kept.append(one)
    return kept, used


def read_allowances(source: Source) -> Iterator[Allowance]:
    """The allowances of a text, those that cannot be followed among them."""
    if MARK not in source.text:
        return
    for number in range(1, len(source.line_starts) + 1):
        line = source.line(number)
        found = _COMMENT.search(_STRING.sub(lambda match: "_" * len(match[0]), line)) if MARK in line else None
        if found is None:
            continue
        start = source.line_starts[number - 1]
        span = Span(source.name, start + found.start(), start + len(line.rstrip()))
        about = number if line[: found.start()].strip() else _next_line(source, number)
        reason = line[found.start("reason") : found.end("reason")].strip() if found["reason"] is not None else ""
        yield Allowance(span, about, found["code"], reason)


def _next_line(source: Source, number: int) -> int:
    """The next line with more than a comment."""
    for following in range(number + 1, len(source.line_starts) + 1):
        text = source.line(following).strip()
        if text and not text.startswith("#"):
            return following
    return number


def can_be_allowed(code: str) -> bool:
    """Whether a comment may allow what has this code."""
    return not _why_not(code)


def _fault(one: Allowance) -> str:
    """Why an allowance is not followed, "" if it is."""
    return _why_not(one.code) or ("" if one.reason else "it gives no reason")


def _why_not(code: str) -> str:
    from moec.spec.codes.registry import CODES  # every module of codes: not on the way of a spec without allowances

    info = CODES.get(code)
    if info is None:
        return f"`{code}` is no code of moec" if code else "it names no code"
    if info.severity == "error":
        return f"{code} is an error"
    return f"{code} is about the text itself" if code.startswith(("MOE1", "MOE93")) else ""
