"""The fused norm against `rms_norm`, its kernels step by step on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from moec.compiler.passes import choose_kernels as compiler
from moec.runtime import fused_norm, triton_norm
from moec.runtime.fused_norm import add_rms_norm, fork_rms_norm
from moec.runtime.mesh import AXES, MeshShape, make_mesh
from moec.runtime.norms import rms_norm

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Takes a GPU's way, and its kernels' steps on a CPU; in a backward pass programs have several blocks."""
    monkeypatch.setattr(fused_norm, "platform", lambda: "gpu")
    monkeypatch.setattr(pl, "pallas_call", functools.partial(pl.pallas_call, interpret=True))
    monkeypatch.setattr(triton_norm, "BACKWARD_PROGRAMS", 3)
    yield
    triton_norm.normalised.clear_cache()
    triton_norm.added_and_normalised.clear_cache()
    triton_norm.gradients.clear_cache()


def drawn(*shape: int, seed: int, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(0.5, 2.0, size=shape), dtype)


def plain(x: jax.Array, scale: jax.Array, *, eps: float) -> tuple[jax.Array, jax.Array]:
    return x, rms_norm(x, scale, eps=eps)


def with_gradients(fork: Any, x: jax.Array, scale: jax.Array) -> tuple[Any, ...]:
    """What the fork gives, and the gradients of x and scale for slopes drawn for both outputs."""
    outputs, pull_back = jax.vjp(functools.partial(fork, eps=1e-3), x, scale)
    return *outputs, *pull_back((drawn(*x.shape, seed=2, dtype=x.dtype), drawn(*x.shape, seed=3, dtype=x.dtype)))


def check(ours: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float) -> None:
    for a, b in zip(ours, expected, strict=True):
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((2, 8, 128), id="whole blocks"),
        pytest.param((1, 40, 64), id="blocks that programs share unevenly"),
        pytest.param((3, 5, 96), id="odd rows, a width that is filled up"),
        pytest.param((1, 1, 40), id="one row"),
        pytest.param((1, 4, 4096), id="one wide row at a time"),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 1e-2)])
def test_values_and_gradients_are_those_of_rms_norm(shape, dtype, tolerance) -> None:
    x, scale = drawn(*shape, seed=0, dtype=dtype), drawn(shape[-1], seed=1)
    ours = jax.jit(functools.partial(with_gradients, fork_rms_norm))(x, scale)
    assert [array.dtype for array in ours] == [dtype, dtype, dtype, jnp.float32]
    np.testing.assert_array_equal(ours[0], x)
    check(ours, with_gradients(plain, x, scale), tolerance)


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize("shape", [pytest.param((2, 8, 128), id="whole blocks"), pytest.param((3, 5, 96), id="odd")])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 1e-2)])
@pytest.mark.parametrize("axes", [{}, {"data": 2, "fsdp": 2, "seq": 2}, {"fsdp": 4, "model": 2}])
def test_a_sum_and_its_norm_are_those_of_two_lines(shape, dtype, tolerance, axes, shape_of) -> None:
    shape = (8, 4, shape[-1]) if axes else shape
    x, added = (drawn(*shape, seed=seed, dtype=dtype) for seed in (0, 4))
    scale = drawn(shape[-1], seed=1)

    def run(fork: Any, x: jax.Array, added: jax.Array, scale: jax.Array) -> tuple[Any, ...]:
        outputs, pull_back = jax.vjp(fork, x, added, scale)
        return *outputs, *pull_back((drawn(*shape, seed=2, dtype=dtype), drawn(*shape, seed=3, dtype=dtype)))

    expected = run(lambda x, added, scale: plain(x + added, scale, eps=1e-3), x, added, scale)
    with jax.set_mesh(make_mesh(shape_of(**axes))):
        ours = jax.block_until_ready(
            jax.jit(functools.partial(run, functools.partial(add_rms_norm, eps=1e-3)))(x, added, scale)
        )
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_array_equal(ours[2], ours[3])
    check(ours, expected, tolerance)


@pytest.mark.usefixtures("on_gpu")
def test_gradients_of_bfloat16_are_rounded_once() -> None:
    x, scale = drawn(2, 8, 96, seed=0, dtype=jnp.bfloat16), drawn(96, seed=1)
    slopes = tuple(drawn(*x.shape, seed=seed, dtype=jnp.bfloat16) for seed in (2, 3))
    to_x, to_scale = jax.vjp(functools.partial(fork_rms_norm, eps=1e-3), x, scale)[1](slopes)
    wide = [array.astype(jnp.float32) for array in (x, *slopes)]
    exact_to_x, exact_to_scale = jax.vjp(functools.partial(plain, eps=1e-3), wide[0], scale)[1](tuple(wide[1:]))
    np.testing.assert_allclose(to_x.astype(jnp.float32), exact_to_x, rtol=2**-8, atol=1e-6)
    np.testing.assert_allclose(to_scale, exact_to_scale, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("on_gpu")
def test_a_residual_branch_under_checkpoint_has_the_same_gradients() -> None:
    x, scale = drawn(2, 8, 64, seed=0), drawn(64, seed=1)

    def loss(fork: Any, x: jax.Array, scale: jax.Array) -> jax.Array:
        def block(x: jax.Array, scale: jax.Array) -> jax.Array:
            x, normed = fork(x, scale, eps=1e-3)
            return x + jnp.sin(normed)

        run = jax.checkpoint(block)
        return jnp.sum(jnp.cos(run(run(x, scale), scale)))

    gradients = [jax.jit(jax.grad(functools.partial(loss, fork), (0, 1)))(x, scale) for fork in (fork_rms_norm, plain)]
    check(*gradients, tolerance=1e-4)


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize(
    ("axes", "kernels"),
    [({"data": 2, "fsdp": 2, "seq": 2}, 2), ({"fsdp": 4, "expert": 2}, 2), ({"fsdp": 2, "model": 2}, 0)],
)
def test_on_a_mesh_each_device_has_its_own_rows_unless_it_has_parts_of_them(
    axes: dict[str, int], kernels: int, shape_of: Callable[..., MeshShape]
) -> None:
    x, scale = drawn(8, 4, 64, seed=0), drawn(64, seed=1)
    run = jax.jit(functools.partial(with_gradients, fork_rms_norm))
    with jax.set_mesh(make_mesh(shape_of(**axes))):
        assert str(jax.make_jaxpr(run)(x, scale)).count("pallas_call[") == kernels
        ours = jax.block_until_ready(run(x, scale))
    check(ours, with_gradients(plain, x, scale), 1e-5)


def test_compiler_and_runtime_agree_on_how_wide_a_row_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler.LARGEST_NORM == fused_norm.LARGEST_WIDTH
    monkeypatch.setattr(fused_norm, "platform", lambda: "gpu")
    for width, kernels in ((8192, 1), (8193, 0)):
        x, scale = jax.ShapeDtypeStruct((1, 1, width), jnp.bfloat16), jax.ShapeDtypeStruct((width,), jnp.float32)
        assert (
            str(jax.make_jaxpr(functools.partial(fork_rms_norm, eps=1e-5))(x, scale)).count("pallas_call[") == kernels
        )


def test_off_a_gpu_it_is_the_plain_norm(shape_of: Callable[..., MeshShape]) -> None:
    x, scale = drawn(2, 4, 64, seed=0), drawn(64, seed=1)
    with jax.set_mesh(make_mesh(shape_of())):
        assert "pallas_call" not in str(jax.make_jaxpr(functools.partial(fork_rms_norm, eps=1e-3))(x, scale))
        check(fork_rms_norm(x, scale, eps=1e-3), plain(x, scale, eps=1e-3), 0.0)


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")  # by jax 0.11 and 0.12
def test_for_a_gpu_that_is_not_there_the_kernels_are_written_once_for_all_layers() -> None:
    x, scales = jax.ShapeDtypeStruct((2, 64, 768), jnp.bfloat16), jax.ShapeDtypeStruct((3, 768), jnp.float32)
    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    mesh = AbstractMesh((1,) * 5, AXES, (AxisType.Auto,) * 5, abstract_device=device)

    def loss(x: jax.Array, scales: jax.Array) -> jax.Array:
        for scale in scales:
            x, normed = fork_rms_norm(x, scale, eps=1e-5)
            x = x + normed
        return jnp.sum(x.astype(jnp.float32))

    with jax.sharding.use_abstract_mesh(mesh):
        lowered = jax.jit(jax.grad(loss, (0, 1))).trace(x, scales).lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count("@__gpu$xla.gpu.triton(") == 2
