"""Where a field stands: dotted path inside a run -> line and column of a text, for reports and comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moec.compiler.typed import RunSpec
from moec.spec.parser import parse
from moec.spec.source import Position, Source, Sources
from moec.spec.syntax import Block, Field, Item

RESOLVED = "resolved.moe"
"""The name of the flattened spec beside a program."""

_TOP_BLOCKS = ("model", "mesh", "data", "budget")


@dataclass(frozen=True, slots=True)
class Place:
    file: str
    position: Position

    def __str__(self) -> str:
        return f"{self.file}:{self.position.line}:{self.position.column}"

    @property
    def line(self) -> str:
        """`resolved.moe:41`."""
        return f"{self.file}:{self.position.line}"


@dataclass(frozen=True, slots=True)
class Places:
    """The place of every field of one run, under its dotted path: `model.attention.n_heads`, `batch.tokens`."""

    by_path: Mapping[str, Place]

    def of(self, path: str) -> Place | None:
        """The place of `path`, or of the nearest block around it; None where the text has neither."""
        while path:
            if path in self.by_path:
                return self.by_path[path]
            path = path.rpartition(".")[0]
        return None

    def mention(self, path: str) -> str:
        """` (resolved.moe:41)` to put behind words; "" where the text has no such field."""
        place = self.of(path)
        return f" ({place.line})" if place else ""

    def cited(self, sentence: str, path: str) -> str:
        """`sentence` with the place of `path` before its full stop."""
        return f"{sentence.removesuffix('.')}{self.mention(path)}."


NOWHERE = Places({})


def places_of_run(run: RunSpec, sources: Sources) -> Places:
    """The places in the text that the user wrote."""
    spans = {path: span for path, span in run.origins.items() if span.file in sources}
    return Places({path: Place(span.file, sources[span.file].position(span.start)) for path, span in spans.items()})


def places_of_resolved(text: str) -> Places:
    """The places in the text of a resolved.moe, which holds one run and the blocks that it names."""
    source = Source(RESOLVED, text)
    tree, _ = parse(source)
    blocks = [statement for statement in tree.statements if isinstance(statement, Block)]
    found = [pair for block in blocks for pair in _walk_top(block)]
    return Places({path: Place(RESOLVED, source.position(item.span.start)) for path, item in found})


def _walk_top(block: Block) -> Iterator[tuple[str, Item]]:
    """The fields of a top-level block; those of the run have no prefix, and its references give way to the blocks."""
    kind = block.kind.text
    if kind in _TOP_BLOCKS:
        yield kind, block
        yield from _walk(block, f"{kind}.")
    else:
        yield from ((path, item) for path, item in _walk(block, "") if path not in _TOP_BLOCKS)


def _walk(block: Block, prefix: str) -> Iterator[tuple[str, Item]]:
    for item in block.items:
        if isinstance(item, Field):
            yield prefix + item.name.text, item
        elif isinstance(item, Block):
            yield prefix + item.kind.text, item
            yield from _walk(item, f"{prefix}{item.kind.text}.")
