"""What a program may use: the one list of names of moec.runtime, with their parameters, and of the libraries.

A test of the runtime holds `RUNTIME` against the real signatures, so the compiler and the runtime cannot drift apart.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from moec.compiler.emit.holes import Code, code

RUNTIME: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "moec.runtime.attention": {
        "KeyValues": (),
        "attend": ("q_BSNH", "k_BSGH", "v_BSGH", "batch", "cache", "kernel", "documents", "window", "softcap"),
        "merge_heads": ("x_BSNH", "w_NHD", "bias"),
        "project_qkv": ("x_BSD", "w_q", "w_k", "w_v", "b_q", "b_k", "b_v"),
        "rope": ("x_BSNH", "positions_BS", "theta"),
        "split_heads": ("x_BSD", "w_DNH", "bias"),
    },
    "moec.runtime.batch": {
        "Batch": (),
        "Objective": (),
        "RouterReport": (),
        "objective_of": ("terms", "routers"),
    },
    "moec.runtime.data.text": {
        "TextData": (
            "sources",
            "mixture",
            "format",
            "text_field",
            "tokenizer",
            "vocab_size",
            "split",
            "packing",
            "seed",
        ),
    },
    "moec.runtime.depth_routing": {
        "choose_tokens": ("scores_BS", "batch", "capacity"),
        "gather_tokens": ("x_BSD", "choice"),
        "report_depth": ("choice",),
        "scatter_tokens": ("x_BSD", "added_BCD", "choice"),
        "score_tokens": ("x_BSD", "w_depth", "batch"),
    },
    "moec.runtime.experts": {
        "apply_experts": (
            "x_BSD",
            "routing",
            "w_gate",
            "w_up",
            "w_down",
            "b_gate",
            "b_up",
            "b_down",
            "activation",
            "group_size",
            "capacity",
            "dispatch",
            "grouped_matmul",
        ),
        "report_routing": ("routing", "dropped"),
        "route": ("x_BSD", "w_router", "batch", "top_k", "score", "order", "renormalize", "scale", "bias"),
    },
    "moec.runtime.feed_forward": {
        "geglu": ("gate", "up"),
        "gelu": ("x",),
        "project": ("x", "w", "bias"),
        "project_out": ("x", "w", "bias"),
        "relu2": ("x",),
        "swiglu": ("gate", "up"),
    },
    "moec.runtime.fused_norm": {
        "add_rms_norm": ("x_BSD", "added_BSD", "scale", "eps"),
        "fork_rms_norm": ("x_BSD", "scale", "eps"),
    },
    "moec.runtime.initializer": {"Initializer": ()},
    "moec.runtime.layers": {
        "BlockOutput": ("x_BSD", "cache", "router"),
        "LayersOutput": (),
        "ModelOutput": ("hidden_BSD", "caches", "routers"),
        "run_layers": ("blocks", "x_BSD", "batch", "caches", "remat", "save", "offload"),
        "scan_layers": ("periods", "x_BSD", "batch", "caches", "head", "remat", "save", "offload"),
    },
    "moec.runtime.losses": {"cross_entropy": ("hidden_BSD", "w_DV", "batch", "chunk", "softcap", "z_loss", "dtype")},
    "moec.runtime.main": {"main": ("program",)},
    "moec.runtime.mesh": {
        "MeshShape": ("hardware", "data", "fsdp", "expert", "seq", "model"),
        "constrain": ("array", "spec"),
    },
    "moec.runtime.norms": {"layer_norm": ("x", "scale", "bias", "eps"), "rms_norm": ("x", "scale", "eps")},
    "moec.runtime.optimizers": {
        "decay_mask": ("params",),
        "matrix_dims": ("params",),
        "nudge_router_biases": ("model", "routers", "rate"),
    },
    "moec.runtime.program": {
        "Checkpoints": ("every_steps", "keep"),
        "Evaluation": ("every_steps", "tokens"),
        "Expectations": ("params", "active_params", "train_flops_per_token", "peak_flops_per_second"),
        "Guard": ("spike", "window", "max_skips"),
        "Program": (
            "name",
            "identity",
            "mesh",
            "model",
            "objective",
            "optimizer",
            "after_step",
            "data",
            "training",
            "checkpoints",
            "evaluation",
            "expectations",
            "learning_rate",
            "guard",
        ),
        "Training": ("steps", "seq_len", "micro_batches", "micro_sequences", "seed"),
    },
    "moec.runtime.tables": {"embed": ("tokens_BS", "w_VD", "dtype")},
}
"""Module -> name -> its parameters in order, as far as programs use them; () for what is never called."""

INITIALIZER: Final[Mapping[str, tuple[str, ...]]] = {
    "normal": ("shape", "spec", "std", "dtype", "decay"),
    "ones": ("shape", "spec", "dtype", "decay"),
    "zeros": ("shape", "spec", "dtype", "decay"),
    "state": ("shape", "spec", "dtype"),
    "layer": ("number",),
    "stacked": ("period", "repeats", "layers", "first"),
}
"""The methods of moec.runtime.initializer.Initializer."""

LIBRARIES: Final[Mapping[str, Code]] = {
    "jax": code("import jax"),
    "optax": code("import optax"),
    "nnx": code("from flax import nnx"),
    "jnp": code("from jax import numpy as jnp"),
    "P": code("from jax.sharding import PartitionSpec as P"),
}
"""Name in a program -> the import that gives it, in the order in which imports are sorted."""

LIBRARY_NAMES: Final[frozenset[str]] = frozenset(
    {
        "jax.Array",
        "jnp.bfloat16",
        "jnp.float32",
        "jnp.mean",
        "nnx.List",
        "nnx.Module",
        "optax.GradientTransformation",
        "optax.Schedule",
        "optax.adamw",
        "optax.add_decayed_weights",
        "optax.chain",
        "optax.clip_by_block_rms",
        "optax.clip_by_global_norm",
        "optax.constant_schedule",
        "optax.contrib.muon",
        "optax.cosine_decay_schedule",
        "optax.join_schedules",
        "optax.linear_schedule",
        "optax.lion",
        "optax.scale_by_factored_rms",
        "optax.scale_by_learning_rate",
        "optax.scale_by_param_block_rms",
        "optax.warmup_cosine_decay_schedule",
    }
)

NODES: Final[frozenset[type[ast.AST]]] = frozenset(
    {
        *(ast.Module, ast.Import, ast.ImportFrom, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg),
        *(ast.Assign, ast.Return, ast.Expr, ast.If, ast.Compare, ast.Eq, ast.Call, ast.keyword),
        *(ast.Attribute, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Subscript),
        *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.BitOr, ast.UnaryOp, ast.USub),
    }
)
"""The syntax of a program: no loops, no lambdas, no strings that are formatted, nothing that runs other text."""


def runtime_module_of(name: str) -> str | None:
    """The module of moec.runtime that has `name`."""
    return next((module for module, names in RUNTIME.items() if name in names), None)
