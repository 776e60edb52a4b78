"""Norms against numpy in float64."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime.norms import layer_norm, rms_norm

X = np.random.default_rng(0).normal(3.0, 2.0, (2, 5, 8))
SCALE = np.linspace(0.5, 1.5, 8)
BIAS = np.linspace(-1.0, 1.0, 8)


def test_rms_norm_divides_by_the_root_mean_square() -> None:
    expected = X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-3) * SCALE
    np.testing.assert_allclose(rms_norm(jnp.asarray(X), jnp.asarray(SCALE), eps=1e-3), expected, rtol=1e-5)


@pytest.mark.parametrize("bias", [None, BIAS])
def test_layer_norm_has_mean_zero_and_variance_one_before_scale_and_bias(bias: np.ndarray | None) -> None:
    centred = X - X.mean(-1, keepdims=True)
    expected = centred / np.sqrt(X.var(-1, keepdims=True) + 1e-3) * SCALE + (0 if bias is None else bias)
    given = None if bias is None else jnp.asarray(bias)
    np.testing.assert_allclose(
        layer_norm(jnp.asarray(X), jnp.asarray(SCALE), given, eps=1e-3), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("norm", [rms_norm, layer_norm])
def test_a_bfloat16_input_is_normalised_in_float32_and_comes_back_as_bfloat16(norm) -> None:
    small = jnp.asarray(X, jnp.bfloat16)
    normed = norm(small, jnp.ones(8), eps=1e-5)
    exact = norm(small.astype(jnp.float32), jnp.ones(8), eps=1e-5)
    assert normed.dtype == jnp.bfloat16
    np.testing.assert_array_equal(normed, exact.astype(jnp.bfloat16))


def test_the_gradient_of_rms_norm_is_orthogonal_to_its_input() -> None:
    x = jnp.asarray(X[0, 0])
    gradient = jax.grad(lambda x: (rms_norm(x, jnp.ones(8), eps=0.0) * jnp.arange(8.0)).sum())(x)
    np.testing.assert_allclose(gradient @ x, 0.0, atol=1e-5)
