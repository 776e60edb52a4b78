"""Cross-entropy against numpy, whole and in chunks."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime.losses import cross_entropy
from moec.runtime.mesh import make_mesh

pytestmark = pytest.mark.usefixtures("quick_compilation")

SEQUENCES, LENGTH, WIDTH, VOCAB = 2, 12, 6, 32
RNG = np.random.default_rng(0)
HIDDEN = jnp.asarray(RNG.normal(size=(SEQUENCES, LENGTH, WIDTH)), jnp.float32)
HEAD = jnp.asarray(RNG.normal(size=(WIDTH, VOCAB)), jnp.float32)


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("chunk", [None, 24, 8, 2, 1])
def test_it_is_the_weighted_mean_of_what_the_target_costs(batch_of, chunk, softcap) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    prediction = cross_entropy(HIDDEN, HEAD, batch, chunk=chunk, softcap=softcap, z_loss=0.1)
    logits = np.asarray(HIDDEN, np.float64) @ np.asarray(HEAD, np.float64)
    logits = logits if softcap is None else softcap * np.tanh(logits / softcap)
    logsumexp = np.log(np.exp(logits).sum(-1))
    target = np.take_along_axis(logits, np.asarray(batch.targets_BS)[..., None], -1)[..., 0]
    weights = np.asarray(batch.weights_BS, np.float64)
    np.testing.assert_allclose(prediction.cross_entropy, (weights * (logsumexp - target)).sum(), rtol=1e-5)
    np.testing.assert_allclose(prediction.z_loss, 0.1 * (weights * logsumexp**2).sum(), rtol=1e-5)


def naive(hidden, head, batch, softcap=None, z_loss=0.1):
    logits = hidden.astype(jnp.float32) @ head.astype(jnp.float32)
    logits = logits if softcap is None else softcap * jnp.tanh(logits / softcap)
    logsumexp = jax.nn.logsumexp(logits, axis=-1)
    target = jnp.take_along_axis(logits, batch.targets_BS[..., None], -1)[..., 0]
    return jnp.sum(batch.weights_BS * (logsumexp - target + z_loss * logsumexp**2))


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("chunk", [None, 12, 8, 2])
def test_its_gradient_is_that_of_the_naive_form(batch_of, chunk, softcap, z_loss) -> None:
    batch = batch_of(SEQUENCES, LENGTH)

    def ours(hidden, head):
        return sum(cross_entropy(hidden, head, batch, chunk=chunk, softcap=softcap, z_loss=z_loss))

    found = jax.jit(jax.value_and_grad(ours, argnums=(0, 1)))(HIDDEN, HEAD)
    expected = jax.value_and_grad(naive, argnums=(0, 1))(HIDDEN, HEAD, batch, softcap, z_loss)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)
    assert not found[1][0][batch.weights_BS == 0].any()


@pytest.mark.parametrize("chunk", [None, 2])
def test_bfloat16_rounds_the_gradient_of_the_logits_and_the_sum_over_the_chunks_once(batch_of, chunk) -> None:
    batch, hidden, head = batch_of(SEQUENCES, LENGTH), HIDDEN.astype(jnp.bfloat16), HEAD.astype(jnp.bfloat16)
    ours = jax.grad(lambda *operands: cross_entropy(*operands, batch, chunk=chunk).cross_entropy, argnums=(0, 1))
    expected = jax.grad(naive, argnums=(0, 1))(hidden.astype(jnp.float32), head.astype(jnp.float32), batch, None, 0.0)
    for found, exact in zip(ours(hidden, head), expected, strict=True):
        assert found.dtype == jnp.bfloat16
        assert jnp.abs(found.astype(jnp.float32) - exact).max() < 2**-8 * jnp.abs(exact).max()


def test_it_scales_with_what_is_made_of_the_loss_and_of_half_of_it_is_not_a_number(batch_of) -> None:
    batch = batch_of(SEQUENCES, LENGTH)

    def gradient_of(combined, **options):
        return jax.grad(lambda head: combined(cross_entropy(HIDDEN, head, batch, chunk=8, **options)))(HEAD)

    once = gradient_of(sum, z_loss=0.1)
    np.testing.assert_allclose(gradient_of(lambda terms: 3 * sum(terms), z_loss=0.1), 3 * once, rtol=1e-5)
    assert np.isnan(gradient_of(lambda terms: terms.cross_entropy, z_loss=0.1)).all()
    assert np.isfinite(gradient_of(lambda terms: terms.cross_entropy)).all()


@pytest.mark.parametrize("chunk", [None, 8])
def test_a_gradient_takes_three_matmuls_and_a_loss_one(batch_of, chunk) -> None:
    batch = batch_of(SEQUENCES, LENGTH)

    def loss(hidden, head):
        return sum(cross_entropy(hidden, head, batch, chunk=chunk, z_loss=0.1))

    alone = str(jax.make_jaxpr(loss)(HIDDEN, HEAD))
    both = str(jax.make_jaxpr(jax.value_and_grad(loss, argnums=(0, 1)))(HIDDEN, HEAD))
    made = f":f32[{WIDTH},{VOCAB}] ="
    assert alone.count("= dot_general[") == 1
    assert made not in alone
    assert both.count("= dot_general[") == 3
    assert made in both
    assert both.count("= scan[") == (chunk is not None)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary(batch_of) -> None:
    prediction = cross_entropy(HIDDEN, jnp.zeros((WIDTH, VOCAB)), batch_of(SEQUENCES, LENGTH))
    np.testing.assert_allclose(prediction.cross_entropy, np.log(VOCAB), rtol=1e-6)


def test_large_logits_stay_finite(batch_of) -> None:
    gradient = jax.grad(lambda head: cross_entropy(HIDDEN, head, batch_of(SEQUENCES, LENGTH)).cross_entropy)
    assert np.isfinite(gradient(1e4 * HEAD)).all()


def test_bfloat16_hidden_states_give_float32_logits_unless_told_otherwise(batch_of) -> None:
    batch, narrow = batch_of(SEQUENCES, LENGTH), HIDDEN.astype(jnp.bfloat16)
    rounded_head = HEAD.astype(jnp.bfloat16).astype(jnp.float32)
    exact = cross_entropy(narrow.astype(jnp.float32), rounded_head, batch)
    wide = cross_entropy(narrow, HEAD, batch)
    rounded = cross_entropy(narrow, HEAD, batch, dtype="bfloat16")
    np.testing.assert_allclose(wide.cross_entropy, exact.cross_entropy, rtol=1e-5)
    assert abs(rounded.cross_entropy - exact.cross_entropy) > 1e-5 * exact.cross_entropy
    np.testing.assert_allclose(rounded.cross_entropy, exact.cross_entropy, rtol=1e-2)


@pytest.mark.parametrize("chunk", [8, 4])
def test_chunks_never_hold_all_logits(batch_of, chunk) -> None:
    batch = batch_of(SEQUENCES, LENGTH)
    jaxpr = str(jax.make_jaxpr(jax.grad(lambda h: cross_entropy(h, HEAD, batch, chunk=chunk).cross_entropy))(HIDDEN))
    assert f"f32[{SEQUENCES},{LENGTH},{VOCAB}]" not in jaxpr
    assert f"f32[{chunk // SEQUENCES * SEQUENCES},{VOCAB}]" in jaxpr or f",{chunk // SEQUENCES},{VOCAB}]" in jaxpr


@pytest.mark.parametrize("chunk", [None, 16])
@pytest.mark.parametrize("axes", [{"data": 2, "seq": 2, "model": 2}, {"fsdp": 2, "model": 4}], ids=str)
def test_a_cut_vocabulary_gives_the_same_loss_and_gradient(batch_of, shape_of, axes, chunk) -> None:
    batch = batch_of(4, LENGTH)
    hidden = jnp.concatenate([HIDDEN, HIDDEN[:, ::-1]])

    def loss(hidden, head):
        prediction = cross_entropy(hidden, head, batch, chunk=chunk, softcap=2.0, z_loss=0.1)
        return prediction.cross_entropy + prediction.z_loss

    alone = jax.value_and_grad(loss, argnums=(0, 1))(hidden, HEAD)
    with jax.set_mesh(make_mesh(shape_of(**axes))):
        sharded = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(hidden, HEAD)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), jax.device_get(sharded), alone)
