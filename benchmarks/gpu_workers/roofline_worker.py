"""What the device reaches at most: a large product of matrices, alone and for seconds without a pause, and a copy of
memory, on random numbers."""

from __future__ import annotations

import jax
from answers import Answers, Row, about_jax, answers, asked, take_turn
from jax import numpy as jnp
from timing import samples, without_pause


def measure(wanted: Row, told: Answers) -> None:
    """Tells all rows."""
    take_turn()
    side, length = wanted["side"], wanted["copied"]
    x, y = (jax.random.normal(jax.random.key(seed), (side, side), jnp.bfloat16) for seed in range(2))
    z = jax.random.normal(jax.random.key(2), (length,), jnp.bfloat16)
    product, copy = jax.jit(jnp.matmul), jax.jit(jnp.negative)
    taken = samples({"product": lambda: product(x, y), "copy": lambda: copy(z)}, wanted["seconds"])
    told.tell("product", seconds=taken["product"], flops=2.0 * side**3, **about_jax())
    lasting = without_pause(lambda: product(x, y), 2 * wanted["seconds"])
    told.tell("product without a pause", seconds=lasting, flops=2.0 * side**3, **about_jax())
    told.tell("copy", seconds=taken["copy"], moved_bytes=2 * z.nbytes, **about_jax())


if __name__ == "__main__":
    measure(asked(), answers())
