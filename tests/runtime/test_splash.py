"""The splash kernels against the reference, step by step on a CPU."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime.attention import attend
from moec.runtime.batch import Batch
from moec.runtime.mesh import MeshShape, make_mesh
from moec.runtime.splash import splash

pytestmark = pytest.mark.usefixtures("quick_compilation")

LENGTH, HEADS, KV_HEADS, D_HEAD = 256, 4, 2, 16


def heads(length: int = LENGTH) -> tuple[jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(7)
    return tuple(jnp.asarray(rng.normal(size=(1, length, n, D_HEAD)), jnp.float32) for n in (HEADS, KV_HEADS, KV_HEADS))


def two_documents() -> Batch:
    """A row of two documents, 150 tokens and 106."""
    segments = jnp.where(jnp.arange(LENGTH) < 150, 1, 2)[None]
    positions = jnp.where(segments == 1, jnp.arange(LENGTH), jnp.arange(LENGTH) - 150)
    weights = jnp.ones((1, LENGTH), jnp.float32)
    return Batch(segments, segments, positions, segments, weights)


@pytest.mark.parametrize(("window", "softcap"), [(None, None), (70, 2.0)])
def test_splash_gives_the_values_and_gradients_of_the_reference(window, softcap) -> None:
    batch = two_documents()

    def by_splash(q, k, v):
        return splash(q, k, v, batch.segments_BS, window=window, softcap=softcap, interpret=True)

    def by_reference(q, k, v):
        return attend(q, k, v, batch, None, kernel="reference", window=window, softcap=softcap)[0]

    def both(way):
        return jax.value_and_grad(lambda *x: jnp.sum(jnp.sin(way(*x))), argnums=(0, 1, 2))(*heads())

    np.testing.assert_allclose(by_splash(*heads()), by_reference(*heads()), rtol=1e-3, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), both(by_splash), both(by_reference)
    )


def test_splash_refuses_a_length_that_it_would_compute_wrongly() -> None:
    with pytest.raises(ValueError, match="multiple of 128 tokens, not 200"):
        splash(*heads(200), jnp.ones((1, 200), jnp.int32), window=None, softcap=None)


def test_splash_says_that_it_needs_a_tpu() -> None:
    mesh = make_mesh(MeshShape("cpu", 1, 1, 1, 1, 1))
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="needs a TPU, and the mesh is of cpu"):
        jax.jit(lambda q, k, v: splash(q, k, v, jnp.ones((1, 256), jnp.int32), window=None, softcap=None))(*heads(256))
