"""Activations that wait for the backward pass in host memory."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from moec.runtime.layers import remat_policy

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_what_is_offloaded_is_host_memory_of_a_gpu_and_changes_no_gradient() -> None:
    def layer(x: jax.Array) -> jax.Array:
        return jnp.sin(checkpoint_name(jnp.exp(x), "attention_out")) ** 2

    policy = remat_policy("names", (), ("attention_out",))
    offloaded = jax.checkpoint(layer, policy=policy)
    x = jnp.linspace(-1.0, 1.0, 64)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(offloaded(x))))
    assert "pinned_host" in gradient.trace(x).lower(lowering_platforms=("cuda",)).as_text()
    np.testing.assert_allclose(gradient(x), jax.grad(lambda x: jnp.sum(layer(x)))(x), rtol=1e-6)
