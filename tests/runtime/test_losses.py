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


def naive(hidden, head, batch, softcap):
    logits = hidden.astype(jnp.float32) @ head
    logits = logits if softcap is None else softcap * jnp.tanh(logits / softcap)
    logsumexp = jax.nn.logsumexp(logits, axis=-1)
    target = jnp.take_along_axis(logits, batch.targets_BS[..., None], -1)[..., 0]
    return jnp.sum(batch.weights_BS * (logsumexp - target + 0.1 * logsumexp**2))


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("chunk", [None, 8])
def test_its_gradient_is_that_of_the_naive_form(batch_of, chunk, softcap) -> None:
    batch = batch_of(SEQUENCES, LENGTH)

    def ours(hidden, head):
        prediction = cross_entropy(hidden, head, batch, chunk=chunk, softcap=softcap, z_loss=0.1)
        return prediction.cross_entropy + prediction.z_loss

    gradients = jax.jit(jax.grad(ours, argnums=(0, 1)))(HIDDEN, HEAD)
    expected = jax.grad(naive, argnums=(0, 1))(HIDDEN, HEAD, batch, softcap)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradients, expected)


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
