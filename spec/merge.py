"""base block, block that extends it -> one block. The last word wins: fields replace, inner blocks merge, asserts add
up.
"""

from __future__ import annotations

from dataclasses import replace

from moec.spec.blocks import SpecBlock, SpecField
from moec.spec.fields.table import block_info


def merge(base: SpecBlock, own: SpecBlock) -> SpecBlock:
    """`own` with all that it takes over from `base`. Of fields that exclude one another, those that `own` writes
    stay.
    """
    inherited = {name: _older(field) for name, field in base.fields.items() if name not in _replaced(own)}
    blocks = {name: _older_block(block) for name, block in base.blocks.items()}
    for name, block in own.blocks.items():
        blocks[name] = merge(base.blocks[name], block) if name in base.blocks else block
    return replace(own, fields=inherited | dict(own.fields), blocks=blocks, asserts=(*base.asserts, *own.asserts))


def _replaced(own: SpecBlock) -> frozenset[str]:
    """The alternatives of which `own` writes one: all others go with it."""
    info = block_info(own.path)
    groups = (info.exactly_one, info.at_least_one) if info else ()
    return frozenset(name for group in groups if any(name in own.fields for name in group) for name in group)


def _older(field: SpecField) -> SpecField:
    return replace(field, inherited=field.inherited + 1)


def _older_block(block: SpecBlock) -> SpecBlock:
    fields = {name: _older(field) for name, field in block.fields.items()}
    return replace(block, fields=fields, blocks={name: _older_block(inner) for name, inner in block.blocks.items()})
