"""RunSpec -> the value of every field, under its path in the run: `model.attention.n_heads`, `batch.tokens`.

The way back from the typed spec to the language, for `expand` and for asserts. A field that has no value is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction

from moec.compiler.typed import (
    AttentionSpec,
    BudgetSpec,
    DataSpec,
    DepthRoutingSpec,
    ExpertsSpec,
    FfnSpec,
    MeshSpec,
    ModelSpec,
    OptimizerSpec,
    RunSpec,
)
from moec.spec.fields.budget import HOUR_SECONDS
from moec.spec.fields.table import field_info
from moec.spec.fields.types import words_of
from moec.spec.hardware.catalogue import HARDWARE_NAMES
from moec.spec.values import FLOPS, SECONDS, BlockName, Exact, Grid, Many, Quantity, Text, Truth, Value, Word

_Plain = bool | int | float | Fraction | str
_KINDS = ("model", "mesh", "data", "budget")


def run_values(run: RunSpec) -> Mapping[str, Value]:
    """The value of every field of `run`; numbers are as exact as the typed spec has them."""
    parts = {
        "": {"seed": _value(run.seed), **_names(run)},
        "model.": _model(run.model),
        "mesh.": _mesh(run.mesh),
        "data.": _data(run.data) if run.data else {},
        "budget.": _budget(run.budget),
        "batch.": {"tokens": _value(run.batch.tokens), "micro": _value(run.batch.micro)},
        "optimizer.": _optimizer(run.optimizer),
        "remat.": {
            "policy": Word(run.remat.policy),
            "save": _words(run.remat.save),
            "offload": _words(run.remat.offload),
        },
        "checkpoint.": {"every_steps": _value(run.checkpoint.every_steps), "keep": _value(run.checkpoint.keep)},
        "guard.": {
            "spike": _or_none(run.guard.spike),
            "window": _value(run.guard.window),
            "max_skips": _value(run.guard.max_skips),
        },
        "eval.": {"every_steps": _value(run.eval.every_steps), "tokens": _value(run.eval.tokens)},
        "layers.": {"scan": _value(run.layers.scan)},
    }
    return {prefix + name: value for prefix, fields in parts.items() for name, value in fields.items()}


def words_behind(path: str) -> tuple[str, ...]:
    """The words that the field at `path` in a run may hold."""
    info = field_info(path_in_table(path))
    return words_of(info.type) if info else ()


def path_in_table(path: str) -> str:
    """The path in the fields table of the field at `path` in a run: `run.batch.tokens` for `batch.tokens`."""
    return path if path.partition(".")[0] in _KINDS and "." in path else f"run.{path}"


def _value(plain: _Plain) -> Value:
    """A number, a boolean, or a word."""
    match plain:
        case bool():
            return Truth(plain)
        case str():
            return Word(plain)
        case float():
            return Quantity(Fraction(repr(plain)))
        case _:
            return Quantity(plain)


def _or_none(plain: float | str | None) -> Value:
    return Word("none") if plain is None else _value(plain)


def _words(texts: tuple[str, ...]) -> Value:
    return Many(tuple(Word(text) for text in texts))


def _word_or_text(text: str, words: tuple[str, ...]) -> Value:
    return Word(text) if text in words else Text(text)


def _names(run: RunSpec) -> Mapping[str, Value]:
    named = {"model": run.model.name, "mesh": run.mesh.name, "budget": run.budget.name}
    if run.data:
        named["data"] = run.data.name
    return {kind: BlockName(kind, name, "") for kind, name in named.items()}


def _model(model: ModelSpec) -> Mapping[str, Value]:
    norm, init, dtype = model.norm, model.init, model.dtype
    fields = {
        "scale": Word(model.scale),
        "vocab_size": _value(model.vocab_size),
        "seq_len": _value(model.seq_len),
        "n_layers": _value(model.n_layers),
        "d_model": _value(model.d_model),
        "tie_embeddings": _value(model.tie_embeddings),
        "logits_softcap": _or_none(model.logits_softcap),
        "logits_z_loss": _value(model.logits_z_loss),
        "norm.kind": Word(norm.kind),
        "norm.placement": Word(norm.placement),
        "norm.eps": _value(norm.eps),
        "init.kind": Word(init.kind),
        "init.std": _value(init.std),
        "init.embedding_std": _value(init.embedding_std),
        "init.depth_scaled": _value(init.depth_scaled),
        "dtype.params": Word(dtype.params),
        "dtype.compute": Word(dtype.compute),
        "dtype.logits": Word(dtype.logits),
    }
    inner = {
        "attention.": _attention(model.attention),
        "ffn.": _ffn(model.ffn) if model.ffn else {},
        "experts.": _experts(model.experts) if model.experts else {},
        "depth_routing.": _depth_routing(model.depth_routing) if model.depth_routing else {},
    }
    return fields | {prefix + name: value for prefix, some in inner.items() for name, value in some.items()}


def _depth_routing(routing: DepthRoutingSpec) -> Mapping[str, Value]:
    return {
        "capacity": _value(routing.capacity),
        "every": _value(routing.every),
        "offset": _value(routing.offset),
        "aux_loss": _value(routing.aux_loss),
    }


def _attention(attention: AttentionSpec) -> Mapping[str, Value]:
    return {
        "n_heads": _value(attention.n_heads),
        "n_kv_heads": _value(attention.n_kv_heads),
        "d_head": _value(attention.d_head),
        "qk_norm": _value(attention.qk_norm),
        "rope_theta": _value(attention.rope_theta),
        "window": _or_none(attention.window),
        "bias": _value(attention.bias),
        "softcap": _or_none(attention.softcap),
        "kernel": Word(attention.kernel),
        "max_documents": _or_none(attention.max_documents),
    }


def _ffn(ffn: FfnSpec) -> Mapping[str, Value]:
    return {
        "d_ff": _value(ffn.d_ff),
        "activation": Word(ffn.activation),
        "norm": Word(ffn.norm),
        "bias": _value(ffn.bias),
    }


def _experts(experts: ExpertsSpec) -> Mapping[str, Value]:
    factor = experts.capacity_factor
    return {
        "n_experts": _value(experts.n_experts),
        "top_k": _value(experts.top_k),
        "d_ff": _value(experts.d_ff),
        "activation": Word(experts.activation),
        "bias": _value(experts.bias),
        "norm": Word(experts.norm),
        "every": _value(experts.every),
        "offset": _value(experts.offset),
        "first_dense": _value(experts.first_dense),
        "n_shared_experts": _value(experts.n_shared_experts),
        "score": Word(experts.score),
        "order": Word(experts.order),
        "renormalize": _value(experts.renormalize),
        "scale": _value(experts.scale),
        "capacity_factor": Word("dropless") if factor is None else Quantity(factor),
        "group_size": _value(experts.group_size),
        "balance_loss": _value(experts.balance_loss),
        "z_loss": _value(experts.z_loss),
        "bias_update_rate": _value(experts.bias_update_rate),
        "dispatch": Word(experts.dispatch),
        "grouped_matmul": Word(experts.grouped_matmul),
    }


def _mesh(mesh: MeshSpec) -> Mapping[str, Value]:
    fields = {
        "hardware": _word_or_text(mesh.hardware.name, HARDWARE_NAMES),
        "devices": _value(mesh.devices),
        "slices": _value(mesh.slices),
    }
    shape = {"topology": Grid(mesh.topology)} if mesh.topology else {}
    return fields | shape | {f"axes.{axis}": _value(size) for axis, size in mesh.axes.items()}


def _data(data: DataSpec) -> Mapping[str, Value]:
    return {
        "source": Many(tuple(_word_or_text(source, ("python_stdlib",)) for source in data.sources)),
        "format": Word(data.format),
        "text_field": Text(data.text_field),
        "tokenizer": _word_or_text(data.tokenizer, ("bytes",)),
        "split": _value(data.split),
        "packing": Word(data.packing),
        "seed": _value(data.seed),
        "mixture": Many(tuple(_value(share) for share in data.mixture)),
    }


def _budget(budget: BudgetSpec) -> Mapping[str, Value]:
    hours = None if budget.hours is None else Fraction(repr(budget.hours)) * HOUR_SECONDS
    fields: dict[str, Value | None] = {
        "tokens": _quantity(budget.tokens),
        "steps": _quantity(budget.steps),
        "train_flops": None if budget.train_flops is None else Quantity(budget.train_flops, FLOPS),
        "hours": None if hours is None else Quantity(hours, SECONDS),
        "law": Word(budget.law) if budget.law else None,
        "count": Word(budget.count) if budget.count else None,
        "tokens_per_param": _real(budget.tokens_per_param),
        "sparsity": _real(budget.sparsity),
        "max_sparsity": _real(budget.max_sparsity),
        "equal_to": BlockName("run", budget.equal_to, "") if budget.equal_to else None,
    }
    own = asdict(budget.coefficients) if budget.coefficients else {}
    fields |= {f"coefficients.{name}": _real(amount) for name, amount in own.items()}
    return {name: value for name, value in fields.items() if value is not None}


def _real(amount: float | None) -> Value | None:
    return None if amount is None else _value(amount)


def _quantity(amount: Exact | None) -> Value | None:
    return None if amount is None else Quantity(amount)


def _optimizer(optimizer: OptimizerSpec) -> Mapping[str, Value]:
    return {
        "kind": Word(optimizer.kind),
        "peak_lr": _value(optimizer.peak_lr),
        "weight_decay": _value(optimizer.weight_decay),
        "b1": _value(optimizer.b1),
        "b2": _value(optimizer.b2),
        "eps": _value(optimizer.eps),
        "clip_norm": _or_none(optimizer.clip_norm),
        "schedule": Word(optimizer.schedule),
        "warmup_steps": _value(optimizer.warmup_steps),
        "decay_steps": _value(optimizer.decay_steps),
        "final_lr_ratio": _value(optimizer.final_lr_ratio),
    }
