"""text -> a tree of mappings, sequences and scalars, in the narrow YAML that specs are written in.

No anchors, tags, directives, second documents or double keys; scalars stay text. The parser's events are read one by
one, so that a hostile file stops at its first excess. Non-goals: what keys and scalars mean (`yaml_form.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from moec.spec.codes import syntax as syntax_codes
from moec.spec.codes import yaml_form as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.lexer import FORBIDDEN
from moec.spec.limits import MAX_NESTING, MAX_TOKENS
from moec.spec.source import Source, Span

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """`value` has its escapes resolved; `plain` says that it has no quotes."""

    value: str
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Mapping:
    """Its keys differ."""

    pairs: tuple[tuple[Scalar, Node], ...]
    span: Span


Node = Scalar | Sequence | Mapping


def compose(source: Source) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """The tree of `source`, None for an empty file or where the text could not be read to its end.

    Errors: MOE1015 (characters), MOE1030 (depth), MOE1036 (size), MOE1101 to MOE1106.
    """
    composer = _Composer(source)
    for match in FORBIDDEN.finditer(source.text, 1 if source.text[:1] == "\ufeff" else 0):
        span = Span(source.name, match.start(), match.end())
        return None, (syntax_codes.forbidden_character(span, match[0]),)
    try:
        composer.run(yaml.parse(source.text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        composer.diagnostics.append(codes.no_yaml(_place(error, source), error.problem or "it cannot be read"))
        return None, tuple(composer.diagnostics)
    except yaml.YAMLError as error:
        composer.diagnostics.append(codes.no_yaml(Span(source.name, 0, 0), str(error).splitlines()[0]))
        return None, tuple(composer.diagnostics)
    return composer.root, tuple(composer.diagnostics)


def _place(error: yaml.MarkedYAMLError, source: Source) -> Span:
    mark = error.problem_mark or error.context_mark
    start = min(mark.index if mark else 0, max(len(source.text) - 1, 0))
    return Span(source.name, start, min(start + 1, len(source.text)))


class _Composer:
    """Builds nodes on a stack of those that are still open."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Node | None = None
        self.open: list[tuple[bool, int, list[Node]]] = []
        self.diagnostics: list[Diagnostic] = []
        self.documents = 0

    def run(self, events: Iterator[Any]) -> None:
        for count, event in enumerate(events):
            if count > MAX_TOKENS:
                self.stop(syntax_codes.too_many_tokens(self._span(event)))
                return
            if len(self.open) > MAX_NESTING:
                self.stop(syntax_codes.nested_too_deeply(self._span(event)))
                return
            self.take(event)

    def stop(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)
        self.root = None

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1 or event.tags or event.version:
                    self.diagnostics.append(codes.one_document(self._span(event)))
            case yaml.AliasEvent():
                self.diagnostics.append(codes.no_anchors(self._span(event)))
                self._add(Scalar("", False, self._span(event)))
            case yaml.ScalarEvent():
                self._check(event)
                self._add(Scalar(event.value, event.style in (None, ""), self._span(event)))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent() if event.start_mark:
                self._check(event)
                self.open.append((isinstance(event, yaml.MappingStartEvent), event.start_mark.index, []))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent() if event.end_mark:
                self._close(event.end_mark.index)

    def _check(self, event: Any) -> None:
        if event.anchor is not None:
            self.diagnostics.append(codes.no_anchors(self._span(event)))
        if event.tag is not None:
            self.diagnostics.append(codes.no_tags(self._span(event), event.tag))

    def _close(self, end: int) -> None:
        is_mapping, start, nodes = self.open.pop()
        span = Span(self.source.name, start, end)
        self._add(Mapping(self._pairs(nodes), span) if is_mapping else Sequence(tuple(nodes), span))

    def _pairs(self, nodes: list[Node]) -> tuple[tuple[Scalar, Node], ...]:
        pairs: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.diagnostics.append(codes.wrong_shape(key.span, "a key", "a name"))
            elif key.value in pairs:
                self.diagnostics.append(codes.key_twice(key.span, key.value, pairs[key.value][0].span))
            else:
                pairs[key.value] = (key, value)
        return tuple(pairs.values())

    def _add(self, node: Node) -> None:
        if self.open:
            self.open[-1][2].append(node)
        elif self.documents <= 1:
            self.root = node

    def _span(self, event: Any) -> Span:
        return Span(self.source.name, event.start_mark.index, event.end_mark.index)
