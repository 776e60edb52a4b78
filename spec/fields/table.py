"""The fields table: the one truth on what a spec may say. Reader, schema, `moec explain` and docs all read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from moec.spec.fields.budget import BUDGET
from moec.spec.fields.data import DATA
from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.mesh import MESH
from moec.spec.fields.model import MODEL
from moec.spec.fields.run import RUN
from moec.spec.fields.study import STUDY

EDITION: Final = 2026

TABLE: Final = (MODEL, MESH, DATA, BUDGET, RUN, STUDY)
"""The kinds of block at the top of a file, in the order in which the docs tell of them."""

KINDS: Final = tuple(block.path for block in TABLE)


def all_blocks() -> Iterator[BlockInfo]:
    """Every kind of block, each before those inside it."""
    waiting = list(TABLE)
    while waiting:
        block = waiting.pop(0)
        yield block
        waiting[:0] = block.blocks


def all_fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every field with its dotted path: `model.attention.n_heads`."""
    for block in all_blocks():
        for info in block.fields:
            yield f"{block.path}.{info.name}", info


def block_info(path: str) -> BlockInfo | None:
    """The kind of block with this dotted path, if there is one."""
    return _BY_PATH.get(path)


def field_info(path: str) -> FieldInfo | None:
    """The field with this dotted path, if there is one."""
    block = block_info(path.rpartition(".")[0])
    return block.field(path.rpartition(".")[2]) if block else None


def find(name: str) -> tuple[str, ...]:
    """The paths of all blocks and fields that end in the dotted `name`: `d_ff` gives `model.ffn.d_ff` and
    `model.experts.d_ff`.
    """
    paths = [block.path for block in all_blocks()] + [path for path, _ in all_fields()]
    return tuple(path for path in paths if path == name or path.endswith(f".{name}"))


_BY_PATH: Final = {block.path: block for block in all_blocks()}
