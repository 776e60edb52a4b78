"""Activations and projections against their formulas."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime import reference
from moec.runtime.feed_forward import activate, activate_halves, geglu, gelu, project, project_out, relu2, swiglu

GATE, UP = np.random.default_rng(0).normal(0.0, 2.0, (2, 3, 4, 6))


@pytest.mark.parametrize(("name", "function"), [("swiglu", swiglu), ("geglu", geglu)])
def test_a_gated_activation_is_its_formula(name: str, function) -> None:
    expected = reference._activate(name, GATE, UP)
    np.testing.assert_allclose(function(jnp.asarray(GATE), jnp.asarray(UP)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "function"), [("gelu", gelu), ("relu2", relu2)])
def test_an_activation_without_a_gate_is_its_formula(name: str, function) -> None:
    expected = reference._activate(name, None, UP)
    np.testing.assert_allclose(function(jnp.asarray(UP)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2**-8)])
def test_the_gradient_of_swiglu_is_that_of_its_formula(dtype: str, tolerance: float) -> None:
    gates, ups, gradients = jnp.meshgrid(
        jnp.linspace(-30.0, 30.0, 61), jnp.linspace(-2.0, 2.0, 5), jnp.array([1.0, -0.3])
    )
    gates, ups, gradients = (array.astype(dtype) for array in (gates, ups, gradients))
    ours = jax.vjp(swiglu, gates, ups)[1](gradients)
    exact = (array.astype(jnp.float32) for array in (gates, ups))
    expected = jax.vjp(lambda gate, up: jax.nn.silu(gate) * up, *exact)[1](gradients.astype(jnp.float32))
    for array, wanted in zip(ours, expected, strict=True):
        assert array.dtype == dtype
        np.testing.assert_allclose(array.astype(jnp.float32), wanted, rtol=tolerance, atol=tolerance)


def test_swiglu_keeps_its_arguments_alone_for_the_backward_pass() -> None:
    kept = jax.tree.leaves(jax.vjp(swiglu, jnp.asarray(GATE), jnp.asarray(UP))[1])
    assert [leaf.shape for leaf in kept] == [GATE.shape, UP.shape]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["swiglu", "geglu"])
def test_a_gated_activation_of_the_halves_of_an_array_is_that_of_two(name: str, dtype: str) -> None:
    gate, up, slopes = (jnp.asarray(array, dtype) for array in (GATE, UP, UP - GATE))
    both = jnp.concatenate([gate, up], axis=-1)
    ours, to_both = jax.vjp(lambda both: activate_halves(name, both), both)
    expected, to_each = jax.vjp(lambda gate, up: activate(name, gate, up), gate, up)
    rounding = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 2**-7, "atol": 2**-7}
    pairs = (ours, expected), (to_both(slopes)[0], jnp.concatenate(to_each(slopes), axis=-1))
    for array, wanted in pairs:
        assert array.dtype == wanted.dtype == dtype
        np.testing.assert_allclose(*(x.astype(jnp.float32) for x in (array, wanted)), **rounding)


def test_gradients_of_swiglu_of_halves_are_numbers_far_from_zero() -> None:
    both = jnp.array([[-1e4, 3.0], [1e4, 3.0]])
    to_both = jax.vjp(lambda both: activate_halves("swiglu", both), both)[1](jnp.ones((2, 1)))[0]
    np.testing.assert_array_equal(to_both, [[0.0, 0.0], [3.0, 1e4]])


def test_swiglu_of_halves_keeps_the_one_array_for_the_backward_pass() -> None:
    both = jnp.concatenate([GATE, UP], axis=-1)
    kept = jax.tree.leaves(jax.vjp(lambda both: activate_halves("swiglu", both), both)[1])
    assert [leaf.shape for leaf in kept] == [both.shape]


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
