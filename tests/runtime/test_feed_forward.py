"""Activations and projections against their formulas."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime import reference
from moec.runtime.feed_forward import activate, geglu, gelu, project, project_out, relu2, swiglu

GATE, UP = np.random.default_rng(0).normal(0.0, 2.0, (2, 3, 4, 6))


@pytest.mark.parametrize(("name", "function"), [("swiglu", swiglu), ("geglu", geglu)])
def test_a_gated_activation_is_its_formula(name: str, function) -> None:
    expected = reference._activate(name, GATE, UP)
    np.testing.assert_allclose(function(jnp.asarray(GATE), jnp.asarray(UP)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "function"), [("gelu", gelu), ("relu2", relu2)])
def test_an_activation_without_a_gate_is_its_formula(name: str, function) -> None:
    expected = reference._activate(name, None, UP)
    np.testing.assert_allclose(function(jnp.asarray(UP)), expected, rtol=1e-5, atol=1e-6)


def test_the_tanh_form_of_silu_has_the_gradient_of_silu() -> None:
    gates = jnp.linspace(-30.0, 30.0, 201)
    ours = jax.vmap(jax.grad(lambda gate: swiglu(gate, 1.0)))(gates)
    np.testing.assert_allclose(ours, jax.vmap(jax.grad(jax.nn.silu))(gates), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "gate"), [("swiglu", None), ("gelu", GATE), ("tanh", None)])
def test_an_activation_with_the_wrong_gate_or_name_is_refused(name: str, gate) -> None:
    with pytest.raises(ValueError, match=name):
        activate(name, gate, UP)


@pytest.mark.parametrize("function", [project, project_out])
@pytest.mark.parametrize("biased", [False, True])
def test_a_projection_is_a_matmul_in_the_dtype_of_its_input(function, biased: bool) -> None:
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(2, 3, 4)), jnp.bfloat16)
    w, bias = jnp.asarray(rng.normal(size=(4, 5))), jnp.asarray(rng.normal(size=5))
    y = function(x, w, bias if biased else None)
    expected = np.einsum("bsd,df->bsf", np.asarray(x, np.float64), w) + (np.asarray(bias) if biased else 0)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, rtol=0.05, atol=0.05)
