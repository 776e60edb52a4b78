"""two runs -> what changed between them, each change with the gravest effect that it has.

Compares typed runs, so that layout, comments, imports and defaults written out make no difference.
Non-goals: what else the change brings about; `moec plan` of both tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal

from moec.compiler.typed import AssertSpec, RunSpec
from moec.spec.fields.budget import COEFFICIENTS
from moec.spec.format_value import format_expression
from moec.spec.hardware import Hardware

Category = Literal["checkpoint", "numerics", "layout", "cost", "cosmetic"]
CATEGORIES: Final[Mapping[Category, str]] = MappingProxyType(
    {
        "checkpoint": "a checkpoint of the one does not fit the other",
        "numerics": "the training gives other numbers",
        "layout": "the work lies differently on the devices; equal numbers up to rounding",
        "cost": "time, memory or files differ; equal numbers up to rounding",
        "cosmetic": "names, docs and checks only",
    }
)

_CHECKPOINT: Final = (
    "model.scale",
    "model.vocab_size",
    "model.n_layers",
    "model.d_model",
    "model.tie_embeddings",
    "model.attention.n_heads",
    "model.attention.n_kv_heads",
    "model.attention.d_head",
    "model.attention.qk_norm",
    "model.attention.bias",
    "model.ffn",
    "model.ffn.d_ff",
    "model.ffn.norm",
    "model.ffn.bias",
    "model.experts",
    "model.experts.n_experts",
    "model.experts.d_ff",
    "model.experts.bias",
    "model.experts.norm",
    "model.experts.every",
    "model.experts.offset",
    "model.experts.first_dense",
    "model.experts.n_shared_experts",
    "model.depth_routing",
    "model.depth_routing.every",
    "model.depth_routing.offset",
    "model.norm.kind",
    "model.norm.placement",
    "model.dtype.params",
    "run.optimizer.kind",
    "run.layers.scan",
    "run.guard.window",
)
_NUMERICS: Final = (
    "model.seq_len",
    "model.logits_softcap",
    "model.logits_z_loss",
    "model.attention.rope_theta",
    "model.attention.window",
    "model.attention.softcap",
    "model.ffn.activation",
    "model.experts.top_k",
    "model.experts.activation",
    "model.experts.score",
    "model.experts.order",
    "model.experts.renormalize",
    "model.experts.scale",
    "model.experts.capacity_factor",
    "model.experts.group_size",
    "model.experts.balance_loss",
    "model.experts.z_loss",
    "model.experts.bias_update_rate",
    "model.depth_routing.capacity",
    "model.depth_routing.aux_loss",
    "model.norm.eps",
    "model.init.kind",
    "model.init.std",
    "model.init.embedding_std",
    "model.init.depth_scaled",
    "model.dtype.compute",
    "model.dtype.logits",
    "data",
    "data.source",
    "data.format",
    "data.text_field",
    "data.tokenizer",
    "data.split",
    "data.packing",
    "data.seed",
    "data.mixture",
    "budget.tokens",
    "budget.steps",
    "budget.train_flops",
    "budget.hours",
    "budget.law",
    "budget.count",
    "budget.tokens_per_param",
    "budget.sparsity",
    "budget.max_sparsity",
    "budget.equal_to",
    "budget.coefficients",
    *(f"budget.coefficients.{info.name}" for info in COEFFICIENTS.fields),
    "run.seed",
    "run.batch.tokens",
    "run.batch.micro",
    "run.optimizer.peak_lr",
    "run.optimizer.weight_decay",
    "run.optimizer.b1",
    "run.optimizer.b2",
    "run.optimizer.eps",
    "run.optimizer.clip_norm",
    "run.optimizer.schedule",
    "run.optimizer.warmup_steps",
    "run.optimizer.decay_steps",
    "run.optimizer.final_lr_ratio",
    "run.guard.spike",
)
_LAYOUT: Final = (
    "mesh.hardware",
    "mesh.devices",
    "mesh.topology",
    "mesh.slices",
    "mesh.axes.data",
    "mesh.axes.fsdp",
    "mesh.axes.expert",
    "mesh.axes.seq",
    "mesh.axes.model",
)
_COST: Final = (
    "model.attention.kernel",
    "model.attention.max_documents",
    "model.experts.dispatch",
    "model.experts.grouped_matmul",
    "run.remat.policy",
    "run.remat.save",
    "run.remat.offload",
    "run.checkpoint.every_steps",
    "run.checkpoint.keep",
    "run.guard.max_skips",
    "run.eval.every_steps",
    "run.eval.tokens",
)
_COSMETIC: Final = (
    *(f"{block}.{field}" for block in ("model", "mesh", "data", "budget", "run") for field in ("name", "doc")),
    "run.asserts",
)

_FIELDS_OF: Final[Mapping[Category, tuple[str, ...]]] = {
    "checkpoint": _CHECKPOINT,
    "numerics": _NUMERICS,
    "layout": _LAYOUT,
    "cost": _COST,
    "cosmetic": _COSMETIC,
}
CATEGORY_OF: Final[Mapping[str, Category]] = MappingProxyType(
    {path: category for category, paths in _FIELDS_OF.items() for path in paths}
)
"""The effect of a change, by the path in the fields table; a block's own path is for its coming and going."""


def _is_gated(activation: object) -> bool:
    return activation in ("swiglu", "geglu")


def _is_written(value: object) -> bool:
    return value is not None


_SWITCHES: Final[Mapping[str, Callable[[object], bool]]] = MappingProxyType(
    {
        "model.ffn.activation": _is_gated,
        "model.experts.activation": _is_gated,
        "model.experts.bias_update_rate": bool,
        "run.optimizer.clip_norm": _is_written,
    }
)
"""Fields that also switch a weight or an optimizer state on or off: where this differs, a checkpoint does not fit."""

_NOT_COMPARED: Final = ("span", "origins", "written", "reference")
_SPEC_BLOCKS: Final = ("model", "mesh", "data", "budget")


@dataclass(frozen=True, slots=True)
class Change:
    """The field `path` has the value `left` in one run and `right` in the other, as a spec would write them."""

    path: str
    left: str
    right: str
    category: Category


def differences(left: RunSpec, right: RunSpec) -> tuple[Change, ...]:
    """All that differs, gravest first, then in the order of the typed spec."""
    changes = tuple(
        Change(path, show(mine), show(theirs), _category(path, mine, theirs))
        for path, mine, theirs in _pairs("", left, right)
        if mine != theirs
    )
    order = tuple(CATEGORIES)
    return tuple(sorted(changes, key=lambda change: order.index(change.category)))


def _category(path: str, left: object, right: object) -> Category:
    switch = _SWITCHES.get(path)
    if switch is not None and switch(left) != switch(right):
        return "checkpoint"
    return CATEGORY_OF[path]


def _pairs(path: str, left: object, right: object) -> Iterator[tuple[str, object, object]]:
    """The values under `path` in both runs, field by field."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in left:
            yield f"{path}.{key}", left[key], right[key]
    elif isinstance(left, Hardware) or not (is_dataclass(left) and type(left) is type(right)):
        yield path, left, right
    else:
        for field in fields(left):
            if field.name not in _NOT_COMPARED:
                yield from _pairs(_field_path(path, field.name), getattr(left, field.name), getattr(right, field.name))


def _field_path(path: str, name: str) -> str:
    """The path in the fields table: what a run holds itself begins with `run`."""
    if path == "data" and name == "sources":
        return "data.source"
    if path:
        return f"{path}.{name}"
    return name if name in _SPEC_BLOCKS else f"run.{name}"


def show(value: object) -> str:
    """`value` as a spec would write it, or nearly so."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case Fraction():
            return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
        case int():
            return f"{value:_}"
        case float():
            return f"{value:g}"
        case Hardware():
            return value.name
        case AssertSpec():
            return format_expression(value.condition)
        case tuple():
            return f"[{', '.join(show(item) for item in value)}]"
        case _:
            return "written" if is_dataclass(value) else str(value)
