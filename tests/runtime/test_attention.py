"""The kernels of attention against numpy, and what tokens must not see."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from moec.runtime import attention_blocks, attention_kernels, cudnn_attention
from moec.runtime.attention import KeyValues, attend, merge_heads, project_qkv, rope, split_heads, visible
from moec.runtime.batch import Batch
from moec.runtime.cudnn_attention import lengths_of
from moec.runtime.mesh import MeshShape, make_mesh

pytestmark = pytest.mark.usefixtures("quick_compilation")

SEQUENCES, LENGTH, HEADS, KV_HEADS, D_HEAD = 2, 13, 4, 2, 6
VARIANTS = [(None, None), (3, None), (None, 2.0), (5, 1.0)]


@pytest.fixture(params=["reference", "blockwise", "bands of 5", "blocks of 5"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "bands of 5":
        monkeypatch.setattr(attention_kernels, "BAND", 5)
    if request.param == "blocks of 5":
        monkeypatch.setattr(attention_kernels, "KEPT_LENGTH", 0)
        monkeypatch.setattr(attention_blocks, "SMALLEST_BLOCK", 4)
        assert attention_blocks.block_length(LENGTH) == 5
    return "reference" if request.param == "reference" else "blockwise"


def heads(seed: int = 0, length: int = LENGTH) -> tuple[jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(seed)
    sizes = (HEADS, KV_HEADS, KV_HEADS)
    q, k, v = (rng.normal(size=(SEQUENCES, length, size, D_HEAD)).astype(np.float32) for size in sizes)
    return jnp.asarray(q), jnp.asarray(k), jnp.asarray(v)


def by_loops(q, k, v, batch: Batch, window: int | None, softcap: float | None) -> np.ndarray:
    q, k, v = (np.asarray(array, np.float64) for array in (q, k, v))
    segments, positions = np.asarray(batch.segments_BS), np.asarray(batch.positions_BS)
    mixed = np.zeros(q.shape)
    for row, token, head in np.ndindex(q.shape[:3]):
        reach = positions[row] - positions[row, token]
        seen = (segments[row] == segments[row, token]) & (reach <= 0)
        seen &= (np.arange(q.shape[1]) <= token) & (True if window is None else reach > -window)
        scores = k[row, seen, head // (HEADS // KV_HEADS)] @ q[row, token, head] / math.sqrt(D_HEAD)
        scores = scores if softcap is None else softcap * np.tanh(scores / softcap)
        powers = np.exp(scores - scores.max())
        mixed[row, token, head] = powers / powers.sum() @ v[row, seen, head // (HEADS // KV_HEADS)]
    return mixed


@pytest.mark.parametrize(("window", "softcap"), VARIANTS)
def test_every_kernel_is_softmax_over_the_visible_past(batch_of, kernel, window, softcap) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    mixed, cache = attend(*heads(), batch, None, kernel=kernel, window=window, softcap=softcap)
    assert cache is None
    real = np.asarray(batch.segments_BS) > 0
    np.testing.assert_allclose(mixed[real], by_loops(*heads(), batch, window, softcap)[real], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("window", "softcap"), VARIANTS)
def test_all_kernels_have_the_same_gradient(batch_of, kernel, window, softcap) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    real = batch.segments_BS[..., None, None] > 0

    def gradient(kernel: str):
        def loss(q, k, v):
            mixed, _ = attend(q, k, v, batch, None, kernel=kernel, window=window, softcap=softcap)
            return jnp.sum(jnp.sin(mixed) * real)

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*heads())

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), gradient(kernel), gradient("reference")
    )


def test_tokens_see_neither_other_documents_nor_padding_nor_the_future(batch_of, kernel) -> None:
    batch = batch_of(SEQUENCES, LENGTH, segments=3, padding=2)
    q, k, v = heads()
    mixed, _ = attend(q, k, v, batch, None, kernel=kernel)
    for place in range(LENGTH):
        changed, _ = attend(q, k.at[:, place].add(3.0), v.at[:, place].add(3.0), batch, None, kernel=kernel)
        moved = np.abs(np.asarray(changed - mixed)).max(axis=(0, 2, 3)) > 0
        same_document = np.asarray(batch.segments_BS[0] == batch.segments_BS[0, place])
        np.testing.assert_array_equal(moved, same_document & (np.arange(LENGTH) >= place))


@pytest.mark.parametrize(("window", "prompt"), [(None, 5), (3, 5), (3, 1)])
def test_token_by_token_with_a_cache_is_the_whole_at_once(batch_of, window, prompt) -> None:
    batch = batch_of(SEQUENCES, LENGTH, segments=1, padding=0)
    q, k, v = heads()
    whole, _ = attend(q, k, v, batch, None, kernel="reference", window=window)
    cache = KeyValues.empty(SEQUENCES, LENGTH + 2, KV_HEADS, D_HEAD, jnp.float32)
    pieces = []
    for start, stop in [(0, prompt), *((at, at + 1) for at in range(prompt, LENGTH))]:
        part = jax.tree.map(lambda array: array[:, start:stop], batch)  # noqa: B023
        piece, cache = attend(
            *(array[:, start:stop] for array in (q, k, v)), part, cache, kernel="blockwise", window=window
        )
        pieces.append(piece)
    assert cache.filled == LENGTH
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), whole, rtol=1e-4, atol=1e-5)


def test_scores_of_bfloat16_heads_are_added_up_in_float32(batch_of, kernel) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    narrow = [array.astype(jnp.bfloat16) for array in heads()]
    mixed, _ = attend(*narrow, batch, None, kernel=kernel)
    assert mixed.dtype == jnp.bfloat16
    real = np.asarray(batch.segments_BS) > 0
    exact = by_loops(*narrow, batch, None, None)
    np.testing.assert_allclose(np.asarray(mixed, np.float64)[real], exact[real], rtol=0.02, atol=0.02)


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    q, k, _ = heads(length=1)
    k = jnp.repeat(k, HEADS // KV_HEADS, axis=2)

    def score(at_q: int, at_k: int) -> jax.Array:
        turned_q = rope(q, jnp.full((SEQUENCES, 1), at_q), theta=100.0)
        turned_k = rope(k, jnp.full((SEQUENCES, 1), at_k), theta=100.0)
        return jnp.sum(turned_q * turned_k, axis=-1)

    np.testing.assert_allclose(score(7, 3), score(104, 100), rtol=1e-3, atol=1e-4)
    assert not np.allclose(score(7, 3), score(7, 4), rtol=1e-2)
    np.testing.assert_array_equal(rope(q, jnp.zeros((SEQUENCES, 1)), theta=100.0), q)


@pytest.mark.parametrize("biased", [False, True])
def test_heads_are_split_and_merged_as_matmuls(biased: bool) -> None:
    rng = np.random.default_rng(3)
    x, w, bias = rng.normal(size=(2, 3, 5)), rng.normal(size=(5, HEADS, D_HEAD)), rng.normal(size=(HEADS, D_HEAD))
    split = split_heads(*map(jnp.asarray, (x, w)), jnp.asarray(bias) if biased else None)
    np.testing.assert_allclose(split, np.einsum("bsd,dnh->bsnh", x, w) + (bias if biased else 0), rtol=1e-3, atol=1e-5)
    w_o, b_o = rng.normal(size=(HEADS, D_HEAD, 5)), rng.normal(size=5)
    merged = merge_heads(split, jnp.asarray(w_o), jnp.asarray(b_o) if biased else None)
    expected = np.einsum("bsnh,nhd->bsd", np.asarray(split), w_o) + (b_o if biased else 0)
    np.testing.assert_allclose(merged, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("axes", [{}, {"data": 2, "model": 2}, {"fsdp": 2, "seq": 2, "model": 2}])
@pytest.mark.parametrize("biased", [False, True])
def test_queries_keys_and_values_by_one_matmul_are_those_of_three(biased: bool, axes: dict[str, int]) -> None:
    rng = np.random.default_rng(4)
    shapes = [(5, heads, D_HEAD) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    weights = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]
    biases = [jnp.asarray(rng.normal(size=shape[1:]), jnp.float32) if biased else None for shape in shapes]
    x = jnp.asarray(rng.normal(size=(2, 4, 5)), jnp.float32)

    def at_once(x, weights, biases):
        return project_qkv(x, *weights, *biases)

    def one_by_one(x, weights, biases):
        return tuple(split_heads(x, w, b) for w, b in zip(weights, biases, strict=True))

    def outputs_and_gradients(project, x, weights, biases):
        outputs, pull_back = jax.vjp(project, x, weights, biases)
        return outputs, pull_back(jax.tree.map(jnp.sin, outputs))

    expected = outputs_and_gradients(one_by_one, x, weights, biases)
    mesh = make_mesh(
        MeshShape("cpu", **{name: axes.get(name, 1) for name in ("data", "fsdp", "expert", "seq", "model")})
    )
    with jax.set_mesh(mesh):
        tokens = jax.device_put(x, NamedSharding(mesh, P(("data", "fsdp"), "seq")))
        own, own_biases = (
            [None if one is None else jax.device_put(one, NamedSharding(mesh, spec)) for one in all_of]
            for all_of, spec in ((weights, P(None, "model")), (biases, P("model")))
        )
        found = jax.jit(partial(outputs_and_gradients, at_once))(tokens, own, own_biases)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_documents_are_told_by_their_lengths_and_starts() -> None:
    segments = jnp.array([[4, 4, 5, 5, 5, 0, 0], [1, 1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 5, 0]])
    lengths, starts, count = lengths_of(segments, 3)
    np.testing.assert_array_equal(count, [3, 1, 6])
    np.testing.assert_array_equal(lengths[:2], [[2, 3, 2], [7, -1, -1]])
    np.testing.assert_array_equal(starts[:2], [[0, 2, 5, -1], [0, -1, -1, -1]])


def test_cudnn_finds_every_document_where_it_starts(batch_of) -> None:
    """JAX moves the lengths and the starts of all sequences together before it calls cuDNN."""
    from jax._src.cudnn.fused_attention_stablehlo import _fix_seqlen_offsets

    batch = batch_of(SEQUENCES, LENGTH)
    lengths, starts, count = lengths_of(batch.segments_BS, 4)
    q, k, _ = heads()
    lengths, _, starts, _ = (np.ravel(array) for array in _fix_seqlen_offsets(lengths, lengths, starts, starts, q, k))
    told = int(jnp.sum(count))
    assert told > 2 * SEQUENCES
    np.testing.assert_array_equal(starts[1:told], np.cumsum(lengths[: told - 1]) * HEADS * D_HEAD)
    np.testing.assert_array_equal(starts[told:], SEQUENCES * LENGTH * HEADS * D_HEAD)
    assert lengths[:told].sum() == SEQUENCES * LENGTH


@pytest.mark.parametrize("documents", [1, 4])
@pytest.mark.parametrize("are_whole", [False, True])
def test_cudnn_is_told_as_little_as_will_do(batch_of, monkeypatch, documents: int, are_whole: bool) -> None:
    """All ways are replaced by the reference, times a number of their own."""
    batch = batch_of(SEQUENCES, LENGTH)
    if are_whole:
        batch = dataclasses.replace(batch, segments_BS=jnp.ones_like(batch.segments_BS))
    seen = visible(batch, batch.positions_BS, batch.segments_BS, None)

    def times(factor: int):
        return lambda q, k, v, *_, **__: factor * attention_kernels.reference(q, k, v, seen, softcap=None)

    for factor, way in enumerate(("whole", "by_lengths", "by_mask"), start=1):
        monkeypatch.setattr(cudnn_attention, way, times(factor))
    assert are_whole or 1 < int(jnp.max(lengths_of(batch.segments_BS, 1)[2])) <= 4
    factor = 1 if are_whole else 2 if documents == 4 else 3
    q, k, v = (array.astype(jnp.bfloat16) for array in heads())

    def mixed(q, k, v):
        return attend(q, k, v, batch, None, kernel="cudnn", documents=documents)[0]

    np.testing.assert_array_equal(mixed(q, k, v), times(factor)(q, k, v))
    ours = jax.grad(lambda q: jnp.sum(mixed(q, k, v).astype(jnp.float32)))(q)
    wanted = jax.grad(lambda q: jnp.sum(times(factor)(q, k, v).astype(jnp.float32)))(q)
    np.testing.assert_allclose(ours.astype(jnp.float32), wanted.astype(jnp.float32), rtol=2e-2, atol=1e-3)


def test_what_cudnn_mixes_is_given_twice_in_every_way_it_is_told(batch_of, monkeypatch) -> None:
    """As the result and for the backward pass, at the same places: XLA makes one of what all branches of a choice give
    twice, and copies what only some do. cuDNN is replaced by a kernel that keeps the same things for its gradient."""

    @jax.custom_vjp
    def kernel(q, k, v):
        return q + jnp.mean(k) + jnp.mean(v)

    def forward(q, k, v):
        mixed = kernel(q, k, v)
        return mixed, (q, k, v, mixed)

    kernel.defvjp(forward, lambda kept, slope: (slope, kept[1], kept[2]))
    batch = batch_of(SEQUENCES, LENGTH)
    for way in ("whole", "by_lengths", "by_mask"):
        monkeypatch.setattr(cudnn_attention, way, lambda q, k, v, *_, **__: kernel(q, k, v))
    q, k, v = (array.astype(jnp.bfloat16) for array in heads())

    def pulled_back(q, k, v):
        mixed, pull_back = jax.vjp(lambda *qkv: attend(*qkv, batch, None, kernel="cudnn", documents=4)[0], q, k, v)
        return mixed, pull_back(mixed)

    choices = [equation for equation in jax.make_jaxpr(pulled_back)(q, k, v).eqns if equation.primitive.name == "cond"]
    doubles = []
    for branch in choices[0].params["branches"]:
        given = branch.jaxpr.outvars
        assert given[0].aval.shape == q.shape
        doubles.append({place for place, out in enumerate(given) if place and out is given[0]})
    assert len(doubles) == 3
    assert set.intersection(*doubles)


def test_a_kernel_that_cannot_do_it_says_so(batch_of) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    with pytest.raises(ValueError, match="there are reference, blockwise, cudnn and splash"):
        attend(*heads(), batch, None, kernel="flash")
    with pytest.raises(ValueError, match="float32"):
        attend(*heads(), batch, None, kernel="cudnn")
    narrow = [array.astype(jnp.bfloat16) for array in heads()]
    with pytest.raises(ValueError, match="cap"):
        attend(*narrow, batch, None, kernel="cudnn", softcap=1.0)
    with pytest.raises(RuntimeError, match="GPU"):
        attend(*narrow, batch, None, kernel="cudnn")
