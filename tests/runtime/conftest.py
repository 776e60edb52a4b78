"""Eight virtual CPU devices, batches and a tiny model for the tests of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
import pytest
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P

from moec.runtime.attention import KeyValues, attend, merge_heads, rope, split_heads
from moec.runtime.batch import Batch, Objective, RouterReport, objective_of
from moec.runtime.devices import prepare_devices
from moec.runtime.experts import apply_experts, report_routing, route
from moec.runtime.feed_forward import project, swiglu
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, LayersOutput, ModelOutput, run_layers, scan_layers
from moec.runtime.losses import cross_entropy
from moec.runtime.mesh import MeshShape, constrain
from moec.runtime.norms import rms_norm
from moec.runtime.tables import embed

prepare_devices(MeshShape(hardware="cpu", data=8, fsdp=1, expert=1, seq=1, model=1))

RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")
VOCAB, WIDTH, HEADS, D_HEAD, D_FF, EXPERTS = 32, 16, 8, 4, 16, 8


@dataclass(frozen=True)
class Choices:
    """What varies between the tiny models."""

    layers: tuple[Literal["dense", "moe"], ...] = ("dense", "moe")
    scan: bool = False
    repeats: int = 2
    capacity: int | None = 6
    dispatch: str = "sorted"
    grouped_matmul: str = "batched"
    remat: str = "none"
    save: tuple[str, ...] = ()
    dtype: str = "float32"
    kernel: str = "blockwise"
    bias: bool = False
    group_size: int = 16


class Attention(nnx.Module):
    def __init__(self, init: Initializer, choices: Choices) -> None:
        self.kernel = choices.kernel
        self.w_q = init.normal((WIDTH, HEADS, D_HEAD), P("fsdp", "model", None), std=0.25)
        self.w_k = init.normal((WIDTH, HEADS, D_HEAD), P("fsdp", "model", None), std=0.25)
        self.w_v = init.normal((WIDTH, HEADS, D_HEAD), P("fsdp", "model", None), std=0.25)
        self.w_o = init.normal((HEADS, D_HEAD, WIDTH), P("model", None, "fsdp"), std=0.2)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> tuple[jax.Array, KeyValues | None]:
        q_BSNH = rope(split_heads(x_BSD, self.w_q), batch.positions_BS, theta=10_000.0)
        k_BSGH = rope(split_heads(x_BSD, self.w_k), batch.positions_BS, theta=10_000.0)
        mixed, cache = attend(q_BSNH, k_BSGH, split_heads(x_BSD, self.w_v), batch, cache, kernel=self.kernel)
        return constrain(merge_heads(mixed, self.w_o), RESIDUAL), cache


class Ffn(nnx.Module):
    def __init__(self, init: Initializer, choices: Choices) -> None:
        self.w_gate = init.normal((WIDTH, D_FF), P("fsdp", "model"), std=0.25)
        self.w_up = init.normal((WIDTH, D_FF), P("fsdp", "model"), std=0.25)
        self.w_down = init.normal((D_FF, WIDTH), P("model", "fsdp"), std=0.25)

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        hidden_BSF = swiglu(project(x_BSD, self.w_gate), project(x_BSD, self.w_up))
        return constrain(project(hidden_BSF, self.w_down), RESIDUAL)


class Experts(nnx.Module):
    def __init__(self, init: Initializer, choices: Choices) -> None:
        self.choices = choices
        self.w_router = init.normal((WIDTH, EXPERTS), P(None, None), std=1.0)
        self.w_gate = init.normal((EXPERTS, WIDTH, D_FF), P("expert", "fsdp", "model"), std=0.25)
        self.w_up = init.normal((EXPERTS, WIDTH, D_FF), P("expert", "fsdp", "model"), std=0.25)
        self.w_down = init.normal((EXPERTS, D_FF, WIDTH), P("expert", "model", "fsdp"), std=0.25)
        self.b_down = init.normal((EXPERTS, WIDTH), P("expert", None), std=0.25) if choices.bias else None
        self.router_bias = init.state((EXPERTS,), P(None))

    def __call__(self, x_BSD: jax.Array, batch: Batch) -> tuple[jax.Array, RouterReport]:
        routing = route(
            x_BSD,
            self.w_router,
            batch,
            top_k=2,
            score="softmax",
            order="score_then_topk",
            bias=self.router_bias,
        )
        y_BSD, dropped = apply_experts(
            x_BSD,
            routing,
            w_gate=self.w_gate,
            w_up=self.w_up,
            w_down=self.w_down,
            b_down=self.b_down,
            activation="swiglu",
            group_size=self.choices.group_size,
            capacity=self.choices.capacity,
            dispatch=self.choices.dispatch,
            grouped_matmul=self.choices.grouped_matmul,
        )
        return constrain(y_BSD, RESIDUAL), report_routing(routing, dropped)


class Block(nnx.Module):
    def __init__(self, init: Initializer, choices: Choices, kind: Literal["dense", "moe"]) -> None:
        self.attention_norm = init.ones((WIDTH,), P(None))
        self.attention = Attention(init, choices)
        self.second_norm = init.ones((WIDTH,), P(None))
        self.ffn = Ffn(init, choices) if kind == "dense" else None
        self.experts = Experts(init, choices) if kind == "moe" else None

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        mixed_BSD, cache = self.attention(rms_norm(x_BSD, self.attention_norm, eps=1e-5), batch, cache)
        x_BSD = x_BSD + mixed_BSD
        normed_BSD = rms_norm(x_BSD, self.second_norm, eps=1e-5)
        if self.experts is None:
            return BlockOutput(x_BSD + self.ffn(normed_BSD), cache, None)
        y_BSD, report = self.experts(normed_BSD, batch)
        return BlockOutput(x_BSD + y_BSD, cache, report)


class Period(nnx.Module):
    def __init__(self, init: Initializer, choices: Choices) -> None:
        self.blocks = nnx.List(
            [Block(init.layer(number), choices, kind) for number, kind in enumerate(choices.layers, start=1)]
        )

    def __call__(self, x_BSD: jax.Array, batch: Batch, caches: tuple[KeyValues, ...] | None) -> LayersOutput:
        return run_layers(self.blocks, x_BSD, batch, caches)


class TinyModel(nnx.Module):
    """A head block of the period's first kind, then the period of `choices` some times, unrolled or scanned."""

    def __init__(self, init: Initializer, choices: Choices) -> None:
        self.choices = choices
        self.w_embed = init.normal((VOCAB, WIDTH), P("model", "fsdp"), std=1.0)
        n_period = len(choices.layers)
        unrolled = (choices.layers[0], *(() if choices.scan else choices.layers * choices.repeats))
        self.blocks = nnx.List(
            [Block(init.layer(number), choices, kind) for number, kind in enumerate(unrolled, start=1)]
        )
        if choices.scan:
            self.periods = init.stacked(
                lambda inner: Period(inner, choices), repeats=choices.repeats, layers=n_period, first=2
            )
        self.final_norm = init.ones((WIDTH,), P(None))
        self.w_head = init.normal((WIDTH, VOCAB), P("fsdp", "model"), std=0.25)

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        remat, save = self.choices.remat, self.choices.save
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype=self.choices.dtype), RESIDUAL)
        if self.choices.scan:
            output = scan_layers(self.periods, x_BSD, batch, caches, head=self.blocks, remat=remat, save=save)
        else:
            output = run_layers(self.blocks, x_BSD, batch, caches, remat=remat, save=save)
        return ModelOutput(rms_norm(output.x_BSD, self.final_norm, eps=1e-5), output.caches, output.routers)

    def objective(self, batch: Batch) -> Objective:
        hidden_BSD, _, routers = self(batch)
        terms = {"cross_entropy": cross_entropy(hidden_BSD, self.w_head[...], batch).cross_entropy}
        if routers is not None:
            terms["balance_loss"] = 0.01 * jnp.mean(routers.balance_loss)
            terms["router_z_loss"] = 0.001 * jnp.mean(routers.z_loss)
        return objective_of(terms, routers)


def make_batch(sequences: int, length: int, *, seed: int = 0, segments: int = 2, padding: int = 1) -> Batch:
    """Random tokens; each row has `segments` documents of equal length, then `padding` tokens of padding."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, VOCAB, (sequences, length + 1)).astype(np.int32)
    real = length - padding
    ids = np.minimum(np.arange(length) * segments // max(real, 1), segments - 1) + 1
    ids = np.where(np.arange(length) < real, ids, 0)
    starts = np.array([np.argmax(ids == number) for number in ids])
    positions = np.tile(np.arange(length) - starts, (sequences, 1)).astype(np.int32)
    segment_ids = np.tile(ids, (sequences, 1)).astype(np.int32)
    weights = (segment_ids > 0) / max((segment_ids > 0).sum(), 1)
    arrays = (tokens[:, :-1], tokens[:, 1:], positions, segment_ids, weights.astype(np.float32))
    return Batch(*(jnp.asarray(array) for array in arrays))


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture
def tiny_model() -> Callable[..., Callable[[Initializer], TinyModel]]:
    """`tiny_model(scan=True, …)` gives what a program calls its model."""
    return lambda **options: lambda init: TinyModel(init, Choices(**options))


def mesh_shape(**axes: int) -> MeshShape:
    """A CPU mesh, every axis that is not given of size 1."""
    sizes = {"data": 1, "fsdp": 1, "expert": 1, "seq": 1, "model": 1} | axes
    return MeshShape(hardware="cpu", **sizes)


@pytest.fixture
def shape_of() -> Callable[..., MeshShape]:
    return mesh_shape
