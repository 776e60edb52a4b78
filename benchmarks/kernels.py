"""Seconds of the runtime's parts beside other ways to do the same, at the shapes of the quickstart and of peers.py.

    python benchmarks/kernels.py [ROUNDS] [--only PART ...]

The ways take turns; medians of the rounds, forward and backward together, by the clock on the wall and in CPU seconds
of all threads. Run it as emitted programs start themselves: with GLIBC_TUNABLES=glibc.malloc.hugetlb=1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import jax
import numpy as np
from jax import numpy as jnp

from moec.runtime import attention_blocks, attention_kernels, tiles
from moec.runtime.batch import Batch
from moec.runtime.expert_network import ExpertWeights, on_slots
from moec.runtime.feed_forward import activate
from moec.runtime.losses import cross_entropy

SEQUENCES, LENGTH, WIDTH, VOCAB = 16, 256, 128, 256
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


def experts(tokens: int, width: int, d_ff: int, n_experts: int, top_k: int) -> Ways:
    """A dense layer of `top_k d_ff`, batched matmuls over slots (1.0 and 1.25 per choice), and tiles of several sizes
    whose rest is a whole one or a piece, for uneven loads."""
    weights = ExpertWeights(
        normal(n_experts, width, d_ff), normal(n_experts, width, d_ff), normal(n_experts, d_ff, width), None, None, None
    )
    rows = tokens * top_k
    counts = jnp.asarray(RNG.multinomial(rows, RNG.dirichlet(np.full(n_experts, 20.0))))
    x = normal(rows, width)

    def dense(x: jax.Array, gate: jax.Array, up: jax.Array, down: jax.Array) -> jax.Array:
        return jnp.sum((activate("swiglu", x @ gate, x @ up) @ down) ** 2)

    def batched(x_ERD: jax.Array, weights: ExpertWeights) -> jax.Array:
        return jnp.sum(on_slots(x_ERD, weights, "swiglu", "batched") ** 2)

    def tiled(x_RD: jax.Array, weights: ExpertWeights) -> jax.Array:
        x_RD = jnp.pad(x_RD, ((0, tiles.SPARE_ROWS), (0, 0)))
        return jnp.sum(tiles.on_rows(x_RD, counts.astype(jnp.int32), weights, "swiglu") ** 2)

    of_dense = [normal(*shape) for shape in ((width, top_k * d_ff), (width, top_k * d_ff), (top_k * d_ff, width))]
    ways = {"dense": jitted(dense, normal(tokens, width), *of_dense)}
    for factor in (1.0, 1.25):
        slots = normal(n_experts, int(rows * factor) // n_experts, width)
        ways[f"batched, {factor} slots per choice"] = jitted(batched, slots, weights)
    for tile, pieces in ((256, 1), (256, 2), (256, 4), (256, 8), (128, 4), (512, 4)):
        with patch.multiple(tiles, LARGEST_TILE=tile, PIECES=pieces, SPARE_ROWS=tile // pieces):
            ways[f"tiles of {tile}, pieces of {tile // pieces}"] = jitted(tiled, x, weights)
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
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds + 2):
        for name, way in ways.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            jax.block_until_ready(way())
            taken[name].append((time.perf_counter() - start, time.process_time() - cpu_start))
    print(title)
    for name, turns in taken.items():
        wall, cpu = (1e3 * statistics.median(seconds) for seconds in zip(*turns[2:], strict=True))
        print(f"  {name:<32}{wall:8.1f} ms, CPU {cpu:8.1f} ms")


PARTS = {
    "attention": {
        f"attention, {SEQUENCES} sequences of {LENGTH}": partial(attention, SEQUENCES, LENGTH),
        "attention, 4 sequences of 1024": partial(attention, 4, 1024),
    },
    "experts": {
        f"{n_experts} experts of {width} x {d_ff}, top {top_k}, {tokens} tokens": partial(
            experts, tokens, width, d_ff, n_experts, top_k
        )
        for tokens, width, d_ff, n_experts, top_k in (
            (TOKENS, WIDTH, 344, 8, 2),
            (2048, 256, 344, 8, 2),
            (2048, 256, 172, 32, 4),
        )
    },
    "loss": {"loss": loss},
    "embedding": {"embedding": embedding},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=20, help="that count (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="PART", help="of: %(choices)s"
    )
    options = parser.parse_args()
    print(f"jax {jax.__version__}, medians of {options.rounds} rounds")
    for part in options.only:
        for title, ways in PARTS[part].items():
            measure(title, ways(), options.rounds)


if __name__ == "__main__":
    main()
