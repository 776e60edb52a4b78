"""The grouped matmuls of GPUs against the reference, step by step on a CPU: Hopper's, and in Triton those of all."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.compiler.passes import choose_grouped_matmul as compiler
from moec.runtime import mosaic_matmul, triton_matmul
from moec.runtime.batch import Batch
from moec.runtime.dispatch import sort_by_expert
from moec.runtime.expert_network import ExpertWeights
from moec.runtime.experts import BY_ROWS, apply_experts, route
from moec.runtime.feed_forward import Activation, activate
from moec.runtime.sorted_rows import ROWS_OF_EXPERT, matmul_by_mosaic, matmul_by_triton
from moec.runtime.weights import Weight

pytestmark = pytest.mark.usefixtures("quick_compilation")

N_EXPERTS, D_MODEL, D_FF = 4, 64, 128
MOSAIC_STEPS_ON_CPU = tuple(map(int, jax.__version__.split(".")[:2])) >= (0, 11)
NEEDS_STEPS = pytest.mark.skipif(not MOSAIC_STEPS_ON_CPU, reason="jax 0.10 cannot interpret a tile transposed")
KERNELS = (pytest.param("mosaic_gpu", marks=NEEDS_STEPS), "triton")
MOSAIC_LATER = (pytest.param("mosaic_gpu", marks=[NEEDS_STEPS, pytest.mark.slow]), "triton")
MATMULS = {"mosaic_gpu": matmul_by_mosaic, "triton": matmul_by_triton}


@contextlib.contextmanager
def on_gpu(kernel: str) -> Iterator[None]:
    """Takes a GPU's steps on a CPU."""
    if kernel == "triton":
        from jax.experimental import pallas as pl

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pl, "pallas_call", functools.partial(pl.pallas_call, interpret=True))
            yield
    else:
        from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams, force_gpu_interpret_mode

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mosaic_matmul, "HOPPER_CORES", 2)  # so that a core has several blocks
            with force_gpu_interpret_mode(InterpretGPUParams(uninitialized_memory="nan")):
                yield


def drawn(*shape: int, seed: int, scale: float = 1.0) -> jax.Array:
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=shape), jnp.bfloat16)


def sorted_choices(counts: tuple[int, ...], n_choices: int) -> jax.Array:
    """Expert ids [T, 1] of which each expert has its count and the others ask for none, mixed up."""
    ids = np.repeat(np.arange(len(counts) + 1), (*counts, n_choices - sum(counts)))
    return jnp.asarray(np.random.default_rng(7).permutation(ids)[:, None], jnp.int32)


def close(ours: Any, reference: Any, tolerance: float = 0.02) -> None:
    """Within bfloat16's rounding of the largest number there is."""

    def check(a: jax.Array, b: jax.Array) -> None:
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max(initial=1e-6))

    jax.tree.map(check, ours, reference)


def reference(x: jax.Array, w: jax.Array, counts: jax.Array) -> jax.Array:
    """`x[r] @ w[expert of r]`, zero in rows that no expert has, in float32."""
    expert = np.repeat(np.arange(N_EXPERTS + 1), (*counts, x.shape[0] - sum(counts)))
    own = jnp.concatenate([w, jnp.zeros_like(w[:1])]).astype(jnp.float32)[expert]
    return jnp.einsum("rd,rdf->rf", x.astype(jnp.float32), own)


def test_compiler_and_runtime_agree_on_what_the_kernels_take() -> None:
    assert dict(compiler.ROWS_OF_EXPERT) == ROWS_OF_EXPERT
    assert {"mosaic_gpu": mosaic_matmul.BLOCK_ROWS, "triton": triton_matmul.BLOCK_ROWS} == ROWS_OF_EXPERT
    widths = {"mosaic_gpu": mosaic_matmul.WIDTH_MULTIPLE, "triton": triton_matmul.WIDTH_MULTIPLE}
    assert dict(compiler.WIDTH_MULTIPLES) == widths
    assert set(compiler.BY_ROWS) == set(BY_ROWS)


def check_a_kernel(kernel: str, blocks: tuple[int, ...], d_model: int, d_ff: int) -> None:
    """Holds products and gradients to the reference where experts have so many blocks of four; what lies in rows that
    no expert has is not a number."""
    counts = tuple(ROWS_OF_EXPERT[kernel] * count for count in blocks)
    rows, own = 4 * ROWS_OF_EXPERT[kernel], sum(counts)
    x, w = drawn(rows, d_model, seed=1), drawn(N_EXPERTS, d_model, d_ff, seed=2, scale=0.1)
    slopes = drawn(rows, d_ff, seed=3)

    @jax.jit
    def with_gradients(x, w, slopes):
        y, pull_back = jax.vjp(lambda x, w: MATMULS[kernel](x, w, jnp.asarray(counts, jnp.int32)), x, w)
        return y, *pull_back(slopes)

    with on_gpu(kernel):
        poisoned = x.at[own:].set(jnp.nan), w, slopes.at[own:].set(jnp.nan)
        y, to_x, to_w = jax.block_until_ready(with_gradients(*poisoned))
    expected, pull_back = jax.vjp(functools.partial(reference, counts=counts), x, w)
    expected_to_x, expected_to_w = pull_back(slopes.astype(jnp.float32))
    assert (y.dtype, to_x.dtype, to_w.dtype) == (x.dtype, x.dtype, w.dtype)
    close((y, to_x, to_w), (expected, expected_to_x, expected_to_w))
    assert not np.asarray(y[own:]).any()
    assert not np.asarray(to_x[own:]).any()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param((1, 1, 1, 1), id="all alike"),
        pytest.param((0, 3, 1, 0), id="empty and several blocks"),
        pytest.param((1, 0, 0, 1), id="fewer than there are rows"),
        pytest.param((0, 0, 4, 0), id="all of one"),
        pytest.param((0, 0, 0, 0), id="none"),
    ],
)
def test_a_kernel_gives_the_products_and_gradients_of_the_reference(kernel, blocks) -> None:
    check_a_kernel(kernel, blocks, D_MODEL, D_FF)


@pytest.mark.parametrize("kernel", MOSAIC_LATER)
@pytest.mark.parametrize(("d_model", "d_ff"), [(64, 64), (128, 64), (128, 256), (192, 320), (256, 128), (320, 192)])
def test_a_kernel_multiplies_widths_of_each_kind_of_block(kernel, d_model, d_ff) -> None:
    check_a_kernel(kernel, (1, 0, 2, 0), d_model, d_ff)


def layer(kernel: str, ids: jax.Array, x: jax.Array, weights: ExpertWeights) -> tuple[jax.Array, Any]:
    """Outputs of all rows of the experts of `ids`, and the gradients of a sum of them, of rows that have an expert."""
    slots, counts = sort_by_expert(ids, N_EXPERTS, multiple=ROWS_OF_EXPERT[kernel])
    is_real = (slots.choice_of_slot_R < ids.size)[:, None]
    taken = jnp.where(is_real, x[jnp.minimum(slots.token_of_slot_R, ids.shape[0] - 1)], 0)

    def loss(x: jax.Array, weights: ExpertWeights) -> tuple[jax.Array, jax.Array]:
        y = BY_ROWS[kernel](x, counts, weights, "swiglu")
        return jnp.sum(jnp.where(is_real, jnp.sin(y.astype(jnp.float32)), 0)), y

    gradients, y = jax.grad(loss, argnums=(0, 1), has_aux=True)(taken, weights)
    return jnp.where(is_real, y, 0), gradients


def expert_weights(*, gated: bool = True, biased: bool = True) -> ExpertWeights:
    shapes = ((D_MODEL, D_FF), (D_MODEL, D_FF), (D_FF, D_MODEL), (D_FF,), (D_FF,), (D_MODEL,))
    all_of_them = (drawn(N_EXPERTS, *shape, seed=i, scale=0.2) for i, shape in enumerate(shapes))
    wanted = (gated, True, True, gated and biased, biased, biased)
    return ExpertWeights(*(w if is_wanted else None for w, is_wanted in zip(all_of_them, wanted, strict=True)))


def network(expert: np.ndarray, activation: Activation, x: jax.Array, weights: ExpertWeights) -> jax.Array:
    """Each row by the network of its expert, in float32."""
    own = jax.tree.map(lambda weight: weight.astype(jnp.float32)[expert], weights)

    def affine(x: jax.Array, w: jax.Array, bias: jax.Array | None) -> jax.Array:
        return jnp.einsum("rd,rdf->rf", x, w) + (0 if bias is None else bias)

    x = x.astype(jnp.float32)
    up = affine(x, own.w_up, own.b_up)
    gate = None if own.w_gate is None else affine(x, own.w_gate, own.b_gate)
    return affine(activate(activation, gate, up), own.w_down, own.b_down)


@pytest.mark.parametrize(
    ("kernel", "activation", "biased"),
    [
        pytest.param("mosaic_gpu", "swiglu", False, marks=NEEDS_STEPS),
        pytest.param("mosaic_gpu", "swiglu", True, marks=[NEEDS_STEPS, pytest.mark.slow]),
        ("triton", "swiglu", False),
        ("triton", "swiglu", True),
        ("triton", "geglu", False),
        ("triton", "relu2", True),
    ],
)
def test_experts_give_the_values_and_gradients_of_their_networks(kernel, activation, biased) -> None:
    """In rows of no expert there is no number, neither in what comes in nor in the gradients of what goes out."""
    multiple = ROWS_OF_EXPERT[kernel]
    counts, rows = multiple * np.array([0, 2, 1, 0]), 4 * multiple
    own, expert = int(counts.sum()), np.repeat(np.arange(N_EXPERTS), counts)
    x, slopes = (drawn(rows, D_MODEL, seed=seed) for seed in (8, 9))
    weights = expert_weights(gated=activation.endswith("glu"), biased=biased)

    @jax.jit
    def with_gradients(x, weights, slopes):
        by_rows = functools.partial(BY_ROWS[kernel], activation=activation)
        y, pull_back = jax.vjp(lambda x, weights: by_rows(x, jnp.asarray(counts, jnp.int32), weights), x, weights)
        return y, *pull_back(slopes)

    with on_gpu(kernel):
        y, to_x, to_weights = jax.block_until_ready(
            with_gradients(x.at[own:].set(jnp.nan), weights, slopes.at[own:].set(jnp.nan))
        )
    in_float32 = functools.partial(network, expert, activation)
    expected, pull_back = jax.vjp(in_float32, x[:own], weights)
    to_each = pull_back(slopes[:own].astype(jnp.float32))
    close((y[:own], to_x[:own], to_weights), (expected, *to_each))
    assert not np.asarray(y[own:]).any()
    assert not np.asarray(to_x[own:]).any()


@pytest.mark.parametrize("kernel", MATMULS)
def test_remat_finds_the_names_of_the_rows_of_experts(kernel) -> None:
    def apply(x: jax.Array) -> jax.Array:
        counts = jnp.full((N_EXPERTS,), ROWS_OF_EXPERT[kernel], jnp.int32)
        return BY_ROWS[kernel](x, counts, expert_weights(), "swiglu")

    rows = N_EXPERTS * ROWS_OF_EXPERT[kernel]
    traced = str(jax.make_jaxpr(apply)(jax.ShapeDtypeStruct((rows, D_MODEL), jnp.bfloat16)))
    assert "name=expert_buffer" in traced
    assert "name=expert_hidden" in traced


@pytest.mark.parametrize("kernel", MOSAIC_LATER)
def test_rows_that_are_not_numbers_poison_neither_weights_nor_neighbours(kernel) -> None:
    counts = (140, 1, 0, 30)
    ids, x = sorted_choices(counts, 190), drawn(190, D_MODEL, seed=5)
    multiple = ROWS_OF_EXPERT[kernel]
    upto_last = sum(-(-count // multiple) * multiple for count in counts[:3])
    run = jax.jit(functools.partial(layer, kernel))
    with on_gpu(kernel):
        clean = jax.block_until_ready(run(ids, x, expert_weights()))
        of_none = jnp.where(ids == N_EXPERTS, jnp.nan, x)
        close(run(ids, of_none, expert_weights()), clean)
        y, (_, to_weights) = run(ids, jnp.where(ids == 3, jnp.nan, x), expert_weights())
    close(y[:upto_last], clean[0][:upto_last])
    close(jax.tree.map(lambda leaf: leaf[:3], to_weights), jax.tree.map(lambda leaf: leaf[:3], clean[1][1]))
    assert np.isnan(np.asarray(to_weights.w_up[3], np.float32)).any()


@pytest.mark.parametrize("kernel", MOSAIC_LATER)
@pytest.mark.parametrize("capacity", [3, None])
def test_a_layer_computes_what_the_reference_computes(kernel, capacity, batch_of) -> None:
    batch: Batch = batch_of(2, 8)
    own = expert_weights()
    arrays: dict[str, Weight] = {name: getattr(own, name) for name in own.__dataclass_fields__}
    x = drawn(2, 8, D_MODEL, seed=6)
    router = drawn(D_MODEL, N_EXPERTS, seed=7).astype(jnp.float32)

    def by(kernel: str, dispatch: str) -> Callable[[], Any]:
        def loss(x: jax.Array, arrays: dict[str, Weight]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            routing = route(x, router, batch, top_k=2, score="softmax", order="topk_then_score", bias=None)
            options = {"activation": "swiglu", "group_size": 8, "capacity": capacity, "dispatch": dispatch}
            y, dropped = apply_experts(x, routing, **arrays, **options, grouped_matmul=kernel)
            # Outputs of several tens, rounded to a tenth: a steeper function would be another one after rounding.
            return jnp.sum(jnp.sin(y.astype(jnp.float32) / 16)), (y, dropped)

        return jax.jit(lambda: jax.grad(loss, argnums=(0, 1), has_aux=True)(x, arrays))

    with on_gpu(kernel):
        ours = jax.block_until_ready(by(kernel, "sorted")())
    close(ours, by("reference", "onehot")(), tolerance=0.04)
