"""CPU seconds of the runtime's parts beside other ways to do the same, at the shapes of the quickstart.

    python benchmarks/kernels.py [ROUNDS]

The ways take turns; CPU seconds of all threads, least and median of the rounds, forward and backward together.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from unittest.mock import patch

import jax
import numpy as np
from jax import numpy as jnp

from moec.runtime import attention_blocks, attention_kernels, tiles
from moec.runtime.batch import Batch
from moec.runtime.expert_network import ExpertWeights, on_slots
from moec.runtime.losses import cross_entropy

SEQUENCES, LENGTH, WIDTH, D_FF, VOCAB, N_EXPERTS, TOP_K = 16, 256, 128, 344, 256, 8, 2
TOKENS = SEQUENCES * LENGTH
RNG = np.random.default_rng(0)

Ways = dict[str, Callable[[], object]]


def normal(*shape: int) -> jax.Array:
    """Random numbers of a weight's size."""
    return jnp.asarray(RNG.normal(size=shape, scale=shape[-2] ** -0.5), jnp.float32)


def jitted(function: Callable[..., jax.Array], *arguments: object) -> Callable[[], object]:
    """The gradient to all arguments, compiled now (so that constants of modules are read now)."""
    floats = tuple(place for place, leaf in enumerate(arguments) if _is_float(leaf))
    step = jax.jit(jax.value_and_grad(function, argnums=floats)).lower(*arguments).compile()
    return lambda: step(*arguments)


def _is_float(argument: object) -> bool:
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(argument))


def attention(sequences: int, length: int) -> Ways:
    """The blockwise kernel with bands whose scores are kept and with blocks whose scores are made again, of several
    lengths; the longest is one square of scores."""
    q, k, v = normal(sequences, length, 4, 32), normal(sequences, length, 2, 32), normal(sequences, length, 2, 32)
    segments = jnp.ones((sequences, length), jnp.int32)

    def total(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return jnp.sum(attention_kernels.blockwise(q, k, v, segments, window=None, softcap=None) ** 2)

    ways = {}
    for size in (size for size in (64, 128, 256, 512, 1024) if size <= length):
        with patch.multiple(attention_kernels, KEPT_LENGTH=length, BAND=size):
            ways[f"bands of {size}"] = jitted(total, q, k, v)
        one_size = patch.multiple(attention_blocks, SMALLEST_BLOCK=size, LARGEST_BLOCK=size)
        with patch.object(attention_kernels, "KEPT_LENGTH", 0), one_size:
            ways[f"blocks of {size}"] = jitted(total, q, k, v)
    return ways


def experts() -> Ways:
    """Batched matmuls over slots (1.0 and 1.25 per choice) and tiles of several sizes, for uneven loads."""
    weights = ExpertWeights(
        normal(N_EXPERTS, WIDTH, D_FF), normal(N_EXPERTS, WIDTH, D_FF), normal(N_EXPERTS, D_FF, WIDTH), None, None, None
    )
    rows = TOKENS * TOP_K
    counts = jnp.asarray(RNG.multinomial(rows, RNG.dirichlet(np.full(N_EXPERTS, 20.0))))
    x = normal(rows, WIDTH)

    def batched(x_ERD: jax.Array, weights: ExpertWeights) -> jax.Array:
        return jnp.sum(on_slots(x_ERD, weights, "swiglu", "batched") ** 2)

    def tiled(x_RD: jax.Array, weights: ExpertWeights) -> jax.Array:
        x_RD = jnp.pad(x_RD, ((0, tiles.SPARE_ROWS), (0, 0)))
        return jnp.sum(tiles.on_rows(x_RD, counts.astype(jnp.int32), weights, "swiglu") ** 2)

    ways = {
        f"batched, {factor} slots per choice": jitted(
            batched, normal(N_EXPERTS, int(rows * factor) // N_EXPERTS, WIDTH), weights
        )
        for factor in (1.0, 1.25)
    }
    for tile in (128, 256, 512):
        with patch.multiple(tiles, LARGEST_TILE=tile, SPARE_ROWS=tile // tiles.PIECES):
            ways[f"tiles of {tile}"] = jitted(tiled, x, weights)
    return ways


def loss() -> Ways:
    """The loss, the same by chunks, its naive form, and the three matmuls that it cannot do without."""
    hidden, head = normal(SEQUENCES, LENGTH, WIDTH), normal(WIDTH, VOCAB)
    ids = jnp.asarray(RNG.integers(0, VOCAB, (SEQUENCES, LENGTH)), jnp.int32)
    batch = Batch(ids, ids, ids, ids, jnp.full(ids.shape, 1 / TOKENS))

    def ours(hidden: jax.Array, head: jax.Array) -> jax.Array:
        return cross_entropy(hidden, head, batch).cross_entropy

    def by_chunks(hidden: jax.Array, head: jax.Array) -> jax.Array:
        return cross_entropy(hidden, head, batch, chunk=TOKENS // 4).cross_entropy

    def naive(hidden: jax.Array, head: jax.Array) -> jax.Array:
        logits = hidden @ head
        target = jnp.take_along_axis(logits, ids[..., None], -1)[..., 0]
        return jnp.mean(jax.nn.logsumexp(logits, -1) - target)

    def matmuls(hidden: jax.Array, head: jax.Array) -> jax.Array:
        return jnp.sum((hidden.reshape(-1, WIDTH) @ head) ** 2)

    ways = {"ours": ours, "ours, 4 chunks": by_chunks, "naive": naive, "matmuls": matmuls}
    return {name: jitted(way, hidden, head) for name, way in ways.items()}


def embedding() -> Ways:
    """The gradient of the table: scatter-add, as XLA makes it of a lookup, and a matmul with zeros and ones."""
    table = normal(VOCAB, WIDTH)
    ids = jnp.asarray(RNG.integers(0, VOCAB, TOKENS), jnp.int32)
    return {
        "lookup": jitted(lambda table: jnp.sum(jnp.take(table, ids, axis=0, mode="clip") ** 2), table),
        "one-hot matmul": jitted(lambda table: jnp.sum((jax.nn.one_hot(ids, VOCAB) @ table) ** 2), table),
    }


def measure(title: str, ways: Ways, rounds: int) -> None:
    """Prints a line for each way."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 2):
        for name, way in ways.items():
            start = time.process_time()
            jax.block_until_ready(way())
            taken[name].append(time.process_time() - start)
    print(title)
    for name, seconds in taken.items():
        kept = seconds[2:]
        print(f"  {name:<30}{1e3 * min(kept):8.1f} ms (median {1e3 * statistics.median(kept):.1f})")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"jax {jax.__version__}, CPU milliseconds")
    measure(f"attention, {SEQUENCES} sequences of {LENGTH}", attention(SEQUENCES, LENGTH), rounds)
    measure("attention, 4 sequences of 1024", attention(4, 1024), rounds)
    measure("experts", experts(), rounds)
    measure("loss", loss(), rounds)
    measure("embedding", embedding(), rounds)


if __name__ == "__main__":
    main()
