"""Matmuls of the size of an expert's tile on a CPU, by XLA and by torch: GFLOP/s.

    python benchmarks/small_matmuls.py [--torch PYTHON] [--rows 256] [--width 256] [--columns 172 256 344]

Each rate is the best of some rounds of `MATRICES` products one after the other, with matrices of their own. `product`
is x w, `to rows` y w^T, `to weights` x^T y, for x [rows, width], w [width, columns], y [rows, columns]. XLA and torch
take turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

MATRICES = 8
ROUNDS, CALLS, TURNS = 30, 3, 3
Sizes = tuple[int, int, int]
Operation = Callable[[Any, Any, Any], Any]
OPERATIONS: dict[str, Operation] = {
    "product": lambda x, w, y: x @ w,
    "to rows": lambda x, w, y: y @ w.T,
    "to weights": lambda x, w, y: x.T @ y,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--rows", type=int, default=256, metavar="N")
    parser.add_argument("--width", type=int, default=256, metavar="N")
    parser.add_argument("--columns", type=int, nargs="+", default=[172, 256, 344], metavar="N")
    parser.add_argument("--by", choices=("xla", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [(options.rows, options.width, columns) for columns in options.columns]
    if options.by:
        print(json.dumps({"xla": by_xla, "torch": by_torch}[options.by](sizes)))
        return
    told: dict[str, list[list[list[float]]]] = {"xla": [], "torch": []}
    for _ in range(TURNS):
        for name, python in (("xla", sys.executable), ("torch", options.torch)):
            command = [python, __file__, "--by", name, "--rows", str(options.rows), "--width", str(options.width)]
            columns = ["--columns", *map(str, options.columns)]
            environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
            done = subprocess.run(command + columns, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            told[name].append(json.loads(done.stdout))
    print(f"GFLOP/s, {TURNS} turns | {' | '.join(OPERATIONS)}")
    for number, size in enumerate(sizes):
        for name, turns in told.items():
            rates = (sorted(turn[number][operation] for turn in turns) for operation in range(len(OPERATIONS)))
            print(f"{' x '.join(map(str, size))} {name} | " + " | ".join(f"{a[0]:.0f} to {a[-1]:.0f}" for a in rates))


def by_xla(sizes: list[Sizes]) -> list[list[float]]:
    """The rates of all operations, for each size."""
    import jax

    def one(size: Sizes, operation: Operation) -> float:
        keys = jax.random.split(jax.random.key(0), 3 * MATRICES)
        drawn = [jax.random.normal(key, shape) for key, shape in zip(keys, MATRICES * shapes(size), strict=True)]
        matrices = list(zip(drawn[::3], drawn[1::3], drawn[2::3], strict=True))
        products = jax.jit(lambda matrices: [operation(*own) for own in matrices])
        return rate(size, lambda: jax.block_until_ready(products(matrices)))

    return [[one(size, operation) for operation in OPERATIONS.values()] for size in sizes]


def by_torch(sizes: list[Sizes]) -> list[list[float]]:
    """As `by_xla`."""
    import torch

    def one(size: Sizes, operation: Operation) -> float:
        matrices = [[torch.randn(*shape) for shape in shapes(size)] for _ in range(MATRICES)]
        return rate(size, lambda: [operation(*own) for own in matrices])

    return [[one(size, operation) for operation in OPERATIONS.values()] for size in sizes]


def shapes(size: Sizes) -> tuple[tuple[int, int], ...]:
    """Of x, w and y."""
    rows, width, columns = size
    return (rows, width), (width, columns), (rows, columns)


def rate(size: Sizes, call: Callable[[], object]) -> float:
    """The best GFLOP/s of some rounds of calls of `MATRICES` products."""
    call()
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - start) / CALLS)
    return 2 * MATRICES * size[0] * size[1] * size[2] / best / 1e9


if __name__ == "__main__":
    main()
