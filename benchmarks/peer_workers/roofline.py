"""What this machine can do at best: float32 matmuls of JAX in GFLOP/s, and an addition over large arrays in GB/s."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import jax
from jax import numpy as jnp

SIDE, NUMBERS, ROUNDS = 1536, 64 * 2**20, 8


def least_seconds(function: Callable[..., jax.Array], *arguments: jax.Array) -> float:
    """The least time of several calls, after one that compiles."""
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    square = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    numbers = jnp.ones(NUMBERS)
    matmul = least_seconds(jnp.matmul, square, square)
    addition = least_seconds(jnp.add, numbers, numbers)
    print(json.dumps({"flops": 2 * SIDE**3 / matmul, "bytes": 3 * numbers.nbytes / addition}))


if __name__ == "__main__":
    main()
