"""How benchmarks/peers.py talks with its workers, by lines: a process per peer and shape takes a step when told.

So the peers can take turns, and what else the machine does falls on all of them. Needs the standard library alone, for
each peer runs in its own Python.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

STEP = "step\n"


@dataclass(frozen=True, slots=True)
class Work:
    """What every peer computes: a decoder over random tokens in float32, with AdamW, gradients clipped at norm 1."""

    width: int
    layers: int
    length: int
    sequences: int
    vocab: int
    heads: int
    d_ff: int
    n_experts: int
    top_k: int
    capacity_factor: float | None
    """None: no token is dropped."""
    kv_heads: int = 0
    """0: as many as heads."""


LEARNING_RATE, BETAS, WEIGHT_DECAY, CLIP, BALANCE_LOSS = 3e-4, (0.9, 0.95), 0.1, 1.0, 0.01


def work() -> Work:
    """What this worker shall do: the object in its first argument."""
    return Work(**json.loads(sys.argv[1]))


class Served:
    """Takes the driver's orders: `wait` for one, then tell what it took."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out
        self.compiling = 0.0

    def count_compiling(self) -> None:
        """Adds up the seconds that JAX compiles for from now on."""
        import jax

        def count(event: str, seconds: float, **_: object) -> None:
            self.compiling += seconds if event == "/jax/core/compile/backend_compile_duration" else 0.0

        jax.monitoring.register_event_duration_secs_listener(count)

    def wait(self) -> bool:
        """True when a step is wanted, false when it is over; then the driver gets the most memory that was held."""
        if sys.stdin.readline() == STEP:
            return True
        self._say(peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return False

    def took(self, seconds: float, loss: float) -> None:
        """Answers the last order."""
        self._say(seconds=seconds, loss=loss, compiling=self.compiling)

    def _say(self, **told: float) -> None:
        print(json.dumps(told), file=self.out)


def server() -> Served:
    """Answers to the standard output. What the peer prints from now on goes to the standard error."""
    mine = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return Served(mine)


def serve(served: Served, step: Callable[[], float]) -> None:
    """Takes steps as they are ordered; `step` gives the loss once all its work is done."""
    while served.wait():
        start = time.perf_counter()
        loss = step()
        served.took(time.perf_counter() - start, loss)
