"""The fields table -> `docs/language.md`, the reference of the language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.table import EDITION, KINDS, all_blocks
from moec.spec.fields.types import NumberType, range_rule, type_name
from moec.spec.functions import FUNCTIONS
from moec.spec.hardware.catalogue import HARDWARE_NAMES, hardware

_INTRODUCTION: Final = f"""\
# The language, edition {EDITION}

<!-- Written by `python -m moec.spec.write_reference` from the fields table: change that instead. -->

A spec is a text file, `*.moe`, or the same tree in YAML, `*.moe.yaml`. It begins with `edition = {EDITION}` and
holds blocks:

```moe
edition = {EDITION}

/// A dense decoder.
model dense {{
  vocab_size = 256            # bytes
  seq_len    = 256
  n_layers   = 4
  d_model    = 256
  attention {{ n_heads = 4, n_kv_heads = 2 }}
  ffn       {{ d_ff = 688 }}
}}

mesh laptop {{ hardware = cpu, devices = 1 }}
data code {{ source = python_stdlib, tokenizer = bytes }}
budget small {{ tokens = 1M }}

run baseline {{ model = dense, mesh = laptop, data = code, budget = small, batch {{ tokens = 4Ki }} }}
```

## Rules

- **Blocks** are `kind name {{ … }}` at the top of a file and `kind {{ … }}` inside another block. A field, `name =
  value`, ends at the end of its line or at a comma. `#` begins a comment; `///` above a block or field documents
  it.
- **Numbers are exact.** Counts end in `k M B T` (decimal) or `Ki Mi Gi Ti` (binary); bytes in `kB MB GB TB PB` or
  `KiB MiB GiB TiB PiB`, so that a bare `B` is billions; work in `FLOP` to `ZFLOP`; time in `ms s min h d`; rates in
  `…B/s` and `…FLOP/s`. `8x8x8` is a topology. A number of the wrong unit is an error.
- **Expressions** have `+ - * / // %`, comparisons, `and or not`, `a if c else b`, lists and the functions below.
  `/` is exact; `//` rounds down. A name stands for a field of the same block or of one around it, whatever the
  order; for a `let`; or, with a dot, for a field of another block: `dense.d_model`. Circles are errors.
- **`let name = value`** names a value in one file.
- **`use "base.moe" as base`** reads another file of the project; its blocks are `base.dense`.
- **`model sparse extends dense {{ … }}`** begins as a copy of `dense`. Fields and lists that are written replace
  those that are inherited, inner blocks merge, asserts add up, and expressions are worked out anew in the block
  that inherits them. Of fields that exclude one another, the one that is written last stays. A run that others
  extend and that names no `model` is no run itself.
- **`auto`** leaves a choice to the compiler; the plan says what it chose.
- **`assert condition : "why"`** stands in a run or in a block that a run names. It may use `plan.…` (the names that
  `moec plan --format json` prints), `hardware.…` and all fields of the run.
- **Nothing has a silent default that changes the model.** Fields marked *required* must be written; `moec expand`
  prints all others with the values that they take. A field that has no effect beside the others is an error.

## The YAML form

The same tree, kind by kind: `model: {{dense: {{d_model: 256, attention: {{n_heads: 4}}}}}}`. `edition`, `use` and
`let` are keys at the top, `doc` and `extends` keys of a block, `assert` a list of `{{that: …, why: …}}`. A plain
scalar is an expression. A quoted scalar is a text in `let` and in fields that take texts, and an expression
elsewhere; one that begins with `=` is always an expression. There are no anchors, aliases, tags, merge keys or
double keys. `schema/moe-{EDITION}.json` is its JSON Schema. `moec convert` goes both ways and loses only comments,
and the order of blocks of different kinds.
"""


def reference_page() -> str:
    """The text of `docs/language.md`."""
    parts = [_INTRODUCTION, *_functions(), *_hardware()]
    parts += [_block(info) for info in all_blocks()]
    return "\n".join(parts)


def _functions() -> Iterator[str]:
    yield "## Functions\n\n| function | gives |\n|---|---|"
    for function in FUNCTIONS.values():
        yield f"| `{function.usage}` | {function.doc} |"
    yield ""


def _hardware() -> Iterator[str]:
    yield "## Hardware\n\nPer device, as JAX counts devices. `spec/hardware/` holds one file per chip, with sources.\n"
    yield "| name | chip | bfloat16 peak, TFLOP/s | memory, GB | GB/s | devices per chip |\n|---|---|---|---|---|---|"
    for name in HARDWARE_NAMES:
        chip = hardware(name)
        peak = chip.peak_flops_per_second.get("bfloat16", 0)
        figures = (peak / 1e12, chip.hbm_bytes / 1e9, chip.hbm_bytes_per_second / 1e9)
        shown = " | ".join(f"{figure:g}" if figure else "–" for figure in figures)
        yield f"| `{name}` | {chip.title} | {shown} | {chip.devices_per_chip} |"
    yield ""


def _block(info: BlockInfo) -> str:
    level = "##" if info.path in KINDS else "###"
    lines = [f"{level} `{info.path}`", "", info.doc, ""]
    if info.exactly_one:
        pair = f", or {_code(info.may_pair, ' and ')} together" if info.may_pair else ""
        lines += [f"Exactly one of {_code(info.exactly_one)} is written{pair}.", ""]
    if info.at_least_one:
        lines += [f"At least one of {_code(info.at_least_one)} is written.", ""]
    if info.blocks:
        lines += [f"Blocks inside: {_code(block.name for block in info.blocks)}.", ""]
    lines += ["| field | takes | default | |", "|---|---|---|---|"]
    lines += [_row(field) for field in info.fields]
    return "\n".join([*lines, ""])


def _row(info: FieldInfo) -> str:
    cells = (f"`{info.name}`", _takes(info), _default(info), f"{info.doc}{_condition(info)}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _takes(info: FieldInfo) -> str:
    rule = range_rule(info.type) if isinstance(info.type, NumberType) else ""
    unit = f", in {info.unit}" if info.unit else ""
    return f"{type_name(info.type)}{unit}{f', {rule}' if rule else ''}"


def _default(info: FieldInfo) -> str:
    if info.required:
        return f"*required*, unless `{info.unless}` is written" if info.unless else "*required*"
    return f"`{info.default}`" if info.default is not None else info.absent


def _condition(info: FieldInfo) -> str:
    return f" Only {_when(info.only_when)}." if info.only_when else ""


def _when(condition: When) -> str:
    if condition.words:
        return f"where `{condition.field}` is {_code(condition.words, ' or ')}"
    if condition.not_words:
        return f"where `{condition.field}` is not {_code(condition.not_words, ' or ')}"
    return f"with `{condition.field}`"


def _code(names: Iterator[str] | tuple[str, ...], last: str = " and ") -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + last + quoted[-1]
