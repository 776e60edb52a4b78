"""The product of a router: against float64, and without the tokens in float32."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import NamedSharding

from moec.runtime.mesh import MeshShape, make_mesh
from moec.runtime.router_logits import LOGITS, STREAM, logits_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

SEQUENCES, LENGTH, WIDTH, N_EXPERTS = 8, 16, 64, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(SEQUENCES, LENGTH, WIDTH)).astype(np.float32)
W = RNG.normal(size=(WIDTH, N_EXPERTS)).astype(np.float32)
TO_LOGITS = RNG.normal(size=(SEQUENCES, LENGTH, N_EXPERTS)).astype(np.float32)
DTYPES = ["bfloat16", "float16", "float32"]
FLOAT32_SUMS = 2.0**-21
"""What sums of this many terms are off by, as a share of the sum of the terms' sizes."""


@jax.jit
def logits_and_gradients(x_BSD: jax.Array, w_DE: jax.Array, to_logits_BSE: jax.Array) -> tuple[jax.Array, ...]:
    logits_BSE, backward = jax.vjp(logits_of, x_BSD, w_DE)
    return (logits_BSE, *backward(to_logits_BSE))


def product(spec: str, one: jax.Array, other: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """In float64, and the sums of the terms' sizes."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return np.einsum(spec, one, other), np.einsum(spec, abs(one), abs(other))


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_and_the_gradient_of_the_weights_are_exact_to_the_rounding_of_float32(dtype) -> None:
    x = jnp.asarray(X, dtype)
    logits, _, to_w = logits_and_gradients(x, W, TO_LOGITS)
    assert logits.dtype == to_w.dtype == jnp.float32
    for found, (exact, sizes) in (
        (logits, product("bsd,de->bse", x, W)),
        (to_w, product("bsd,bse->de", x, TO_LOGITS)),
    ):
        assert np.all(np.abs(found - exact) <= FLOAT32_SUMS * sizes)


def test_no_bit_of_weights_and_of_their_gradient_is_lost_where_nothing_is_added_up() -> None:
    """Tokens that are rows of the identity: two parts in place of three, or a cast taken for no change, would show."""
    x = jnp.eye(WIDTH, dtype=jnp.bfloat16)[None]
    to_logits = TO_LOGITS.reshape(-1, N_EXPERTS)[None, :WIDTH]
    logits, _, to_w = logits_and_gradients(x, W, to_logits)
    np.testing.assert_array_equal(logits[0], W)
    np.testing.assert_array_equal(to_w, to_logits[0])


def test_the_gradient_of_bfloat16_tokens_is_exact_but_for_its_rounding() -> None:
    _, to_x, _ = logits_and_gradients(jnp.asarray(X, jnp.bfloat16), W, TO_LOGITS)
    assert to_x.dtype == jnp.bfloat16
    exact, sizes = product("bse,de->bsd", TO_LOGITS, W)
    missing = np.abs(np.asarray(to_x, np.float64) - exact) - 2.0**-8 * np.abs(exact)
    assert np.all(missing <= 3 * 2.0**-16 * sizes)


def test_bfloat16_tokens_are_nowhere_in_float32() -> None:
    shapes = [f"f32[{SEQUENCES},{LENGTH},{WIDTH}]", f"bf16[{SEQUENCES},{LENGTH},{WIDTH}]"]
    for dtype, wanted in (("bfloat16", [False, True]), ("float16", [True, False])):
        jaxpr = str(jax.make_jaxpr(logits_and_gradients)(jnp.asarray(X, dtype), W, TO_LOGITS))
        assert [shape in jaxpr for shape in shapes] == wanted


@pytest.mark.parametrize("dtype", DTYPES[::2])
@pytest.mark.parametrize("axes", [{"data": 2, "seq": 2, "model": 2}, {"fsdp": 2, "expert": 2, "model": 2}])
def test_a_mesh_changes_nothing_and_sums_no_parts(axes, dtype) -> None:
    sizes = {"data": 1, "fsdp": 1, "expert": 1, "seq": 1, "model": 1, **axes}
    x = jnp.asarray(X, dtype)
    expected = logits_and_gradients(x, W, TO_LOGITS)
    mesh = make_mesh(MeshShape("cpu", **sizes))
    with jax.set_mesh(mesh):
        placed = (jax.device_put(x, NamedSharding(mesh, STREAM)), W)
        compiled = logits_and_gradients.lower(*placed, jax.device_put(TO_LOGITS, NamedSharding(mesh, LOGITS))).compile()
        found = compiled(*placed, jax.device_put(TO_LOGITS, NamedSharding(mesh, LOGITS)))
    for one, other in zip(found, expected, strict=True):
        rtol = 1e-5 if one.dtype == jnp.float32 else 2.0**-7
        np.testing.assert_allclose(one.astype(jnp.float32), other.astype(jnp.float32), rtol=rtol, atol=1e-5)
    sums = re.findall(r"= f32\[([\d,]+)\]\S* all-reduce\(", compiled.as_text())
    whole = {SEQUENCES * LENGTH * N_EXPERTS // 4, WIDTH * N_EXPERTS // 2}
    assert {int(np.prod([int(size) for size in shape.split(",")])) for shape in sums} <= whole
