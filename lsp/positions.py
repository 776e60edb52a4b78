"""Places in a text: code points from its start, as moec counts, and lines with columns, as editors count.

An editor counts columns in the units of the encoding that both sides have agreed on: bytes of UTF-8, halves of
UTF-16, or code points. Lines end at `\\n`, `\\r\\n` and a lone `\\r`, for the language as for the protocol.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from lsprotocol import types

from moec.spec.source import Source, Span


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of `source`, and `encoding`, whose units the editor counts."""

    source: Source
    encoding: types.PositionEncodingKind | str = types.PositionEncodingKind.Utf16

    def position(self, offset: int) -> types.Position:
        """The line and column of the code point at `offset`."""
        starts = self.source.line_starts
        line = bisect.bisect_right(starts, offset) - 1
        return types.Position(line, self._units(self.source.text[starts[line] : offset]))

    def range(self, start: int, end: int) -> types.Range:
        return types.Range(self.position(start), self.position(end))

    def span_range(self, span: Span) -> types.Range:
        """Where `span`, which is in this source, lies."""
        return self.range(span.start, span.end)

    def offset(self, position: types.Position) -> int:
        """The code point at `position`; past the end of a line it is that end, inside a character its start."""
        starts, text = self.source.line_starts, self.source.text
        if position.line >= len(starts):
            return len(text)
        start = starts[position.line]
        line = self.source.line(position.line + 1)
        return start + self._code_points(line, position.character)

    @property
    def whole(self) -> types.Range:
        """All of the text."""
        return self.range(0, len(self.source.text))

    def _units(self, text: str) -> int:
        if self.encoding == types.PositionEncodingKind.Utf32 or text.isascii():
            return len(text)
        if self.encoding == types.PositionEncodingKind.Utf8:
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text) + sum(char > "\uffff" for char in text)

    def _code_points(self, line: str, units: int) -> int:
        if self.encoding == types.PositionEncodingKind.Utf32 or line.isascii():
            return min(units, len(line))
        passed = 0
        for index, char in enumerate(line):
            passed += self._units(char)
            if passed > units:
                return index
        return len(line)


def apply_change(
    source: Source, change: types.TextDocumentContentChangeEvent, encoding: types.PositionEncodingKind | str
) -> Source:
    """`source` as `change` leaves it: a part replaced, or all of it."""
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return Source(source.name, change.text)
    lines, text = Lines(source, encoding), source.text
    start, end = lines.offset(change.range.start), lines.offset(change.range.end)
    return Source(source.name, text[:start] + change.text + text[end:])
