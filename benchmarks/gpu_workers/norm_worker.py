"""The norms of the residual stream by the kernels that GPUs have for them: the norm, a sum and its norm, and the
gradients of both, each held to `rms_norm` in float32 before it is timed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
from answers import Answers, Row, about_jax, answers, asked, take_turn
from jax import numpy as jnp
from timing import Case, tell_each, worst_error

from moec.runtime import triton_norm
from moec.runtime.norms import rms_norm

EPS = 1e-5
STREAMS = {"norm": 2, "sum and norm": 4, "gradients": 4}
"""Arrays like the residual stream that are read or written."""

Arrays = tuple[jax.Array, ...]
Calls = dict[str, Callable[[], Arrays]]


def operations(x_RD: jax.Array, added_RD: jax.Array, scale_D: jax.Array, slopes: Arrays) -> Calls:
    """Calls of the kernels; `slopes` are those of what is normalised and of x itself."""
    return {
        "norm": lambda: (triton_norm.normalised(x_RD, scale_D, eps=EPS),),
        "sum and norm": lambda: triton_norm.added_and_normalised(x_RD, added_RD, scale_D, eps=EPS),
        "gradients": lambda: triton_norm.gradients(x_RD, scale_D, *slopes, eps=EPS),
    }


def exact(x_RD: jax.Array, added_RD: jax.Array, scale_D: jax.Array, slopes: Arrays) -> Calls:
    """The same by `rms_norm`, in float32 of the rounded arrays; a sum is rounded as the residual stream is."""
    norm = partial(rms_norm, eps=EPS)
    total_RD = (x_RD + added_RD).astype(jnp.float32)
    x_RD, to_normed_RD, to_kept_RD = (array.astype(jnp.float32) for array in (x_RD, *slopes))

    def gradients() -> Arrays:
        to_x_RD, to_scale_D = jax.vjp(norm, x_RD, scale_D)[1](to_normed_RD)
        return to_x_RD + to_kept_RD, to_scale_D

    return {
        "norm": lambda: (norm(x_RD, scale_D),),
        "sum and norm": lambda: (total_RD, norm(total_RD, scale_D)),
        "gradients": gradients,
    }


def error(ours: Callable[[], Arrays], reference: Callable[[], Arrays]) -> float:
    """The worst of a row; a gradient of the scale is one row."""
    pairs = zip(ours(), reference(), strict=True)
    return max(worst_error(jnp.atleast_2d(a), jnp.atleast_2d(b)) for a, b in pairs)


def measure(wanted: Row, told: Answers) -> None:
    """Tells a row for each operation; those that are wrong are not timed."""
    take_turn()
    shape, dtype = (wanted["rows"], wanted["width"]), wanted["dtype"]
    keys = jax.random.split(jax.random.key(3), 5)
    x, added, *slopes = (jax.random.normal(key, shape, dtype) for key in keys[:4])
    given = x, added, 1 + 0.1 * jax.random.normal(keys[4], shape[1:]), tuple(slopes)
    calls, references = operations(*given), exact(*given)
    cases = {
        name: Case(
            call, partial(error, call, references[name]), {"moved_bytes": STREAMS[name] * x.nbytes, **about_jax()}
        )
        for name, call in calls.items()
    }
    tell_each(told, cases, dtype, wanted["seconds"])


if __name__ == "__main__":
    measure(asked(), answers())
