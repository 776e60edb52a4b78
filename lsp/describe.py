"""What there is to say, in Markdown, of fields, blocks, words, functions and values: for hover and completion alike."""

from __future__ import annotations

from moec.compiler.laws.registry import LAWS
from moec.compiler.units import count, flops, rate, size
from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.types import BlockType, HardwareType, ListType, NumberType, range_rule, type_name
from moec.spec.functions import Function
from moec.spec.hardware.catalogue import HARDWARE_NAMES, hardware
from moec.spec.quantities import write_number
from moec.spec.values import (
    BYTES,
    BYTES_PER_SECOND,
    FLOPS,
    FLOPS_PER_SECOND,
    PLAIN,
    Many,
    Quantity,
    Value,
    show,
)


def describe_field(info: FieldInfo, path: str) -> str:
    """Type, unit, range, default and documentation."""
    facts = [f"takes {type_name(info.type)}" + (f", in {info.unit}" if info.unit else "")]
    if isinstance(info.type, NumberType) and range_rule(info.type):
        facts.append(range_rule(info.type))
    facts.append(_default(info))
    if info.only_when:
        facts.append(f"counts {_when(info.only_when)}")
    if info.replaced_by:
        facts.append(f"deprecated: write `{info.replaced_by}`")
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"**`{path}.{info.name}`**\n\n{info.doc}\n\n{listed}\n- example: `{info.name} = {info.example}`"


def describe_block(info: BlockInfo) -> str:
    """What the block is for, and all that can be written in it."""
    fields = [f"- `{field.name}`: {_first_sentence(field.doc)}" for field in info.fields]
    inner = [f"- `{block.name} {{ … }}`: {_first_sentence(block.doc)}" for block in info.blocks]
    return "\n".join((f"**`{info.path}`**", "", info.doc, "", *fields, *inner))


def describe_word(info: FieldInfo, word: str) -> str:
    """What the word `word` means as the value of a field."""
    if isinstance(info.type, HardwareType) and word in HARDWARE_NAMES:
        return describe_hardware(word)
    if info.name == "law" and word in LAWS:
        law = LAWS[word]
        return (
            f"**law `{word}`**\n\n- `{law.form}`\n- N: {law.n_means}\n- fitted on {law.fitted.routing}\n- {law.source}"
        )
    sentences = [part for part in info.doc.split(". ") if f"`{word}`" in part]
    told = f"{'. '.join(sentences).removesuffix('.')}." if sentences else info.doc
    return f"**`{info.name} = {word}`**\n\n{told}"


def describe_hardware(name: str) -> str:
    """The chip called `name`."""
    chip = hardware(name)
    rows = [f"- {dtype}: {rate(peak, 'FLOP/s')}" for dtype, peak in chip.peak_flops_per_second.items() if peak]
    if chip.hbm_bytes:
        rows.append(f"- memory: {size(chip.hbm_bytes)} at {rate(chip.hbm_bytes_per_second, 'B/s')}")
    if chip.link_bytes_per_second:
        rows.append(f"- links: {chip.links} of {rate(chip.link_bytes_per_second, 'B/s')}")
    return "\n".join((f"**{chip.title}** (per device)", "", *rows, "", *(f"Source: {text}" for text in chip.sources)))


def describe_function(function: Function) -> str:
    return f"```moe\n{function.usage}\n```\n{function.doc}"


def describe_value(value: Value) -> str:
    """`value` in code, exact, with a short form where that helps: `= 1536`, `= 68719476736 B (64.0 GiB)`."""
    short = _short(value) if isinstance(value, Quantity) else ""
    return f"`= {_exact(value)}`" + (f" ({short})" if short else "")


def value_text(value: Value) -> str:
    """`value` as short as it can be said, for between the lines."""
    return (_short(value) if isinstance(value, Quantity) else "") or _exact(value)


def _exact(value: Value) -> str:
    if isinstance(value, Quantity) and value.dimension == PLAIN:
        return write_number(value.amount)
    if isinstance(value, Many) and len(value.items) <= 8:
        return "[" + ", ".join(_exact(item) for item in value.items) + "]"
    return show(value)


def _short(value: Quantity) -> str:
    """With a prefix, where the number is large enough to need one."""
    amount, dimension = value.amount, value.dimension
    if dimension == BYTES:
        return size(amount)
    if dimension == FLOPS:
        return flops(amount)
    if dimension in (BYTES_PER_SECOND, FLOPS_PER_SECOND):
        return rate(amount, "B/s" if dimension == BYTES_PER_SECOND else "FLOP/s")
    if dimension != PLAIN or -1_000_000 < amount < 1_000_000 or amount.denominator != 1:
        return ""
    return count(amount)


def _default(info: FieldInfo) -> str:
    if info.required:
        return f"must be written, unless `{info.unless}` is" if info.unless else "must be written"
    if info.default is not None:
        return f"default: `{info.default}`"
    return f"without it: {info.absent}" if info.absent else "no default"


def _when(when: When) -> str:
    if when.words:
        return f"only when `{when.field}` is {' or '.join(f'`{word}`' for word in when.words)}"
    if when.not_words:
        return f"only when `{when.field}` is not {' or '.join(f'`{word}`' for word in when.not_words)}"
    return f"only when `{when.field}` is written"


def block_kind(info: FieldInfo) -> str | None:
    """The kind of block that the field names, None where it names none."""
    item = info.type.item if isinstance(info.type, ListType) else info.type
    return item.kind if isinstance(item, BlockType) else None


def _first_sentence(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return head + stop.strip()
