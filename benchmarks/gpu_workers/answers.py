"""How a worker of benchmarks/gpu.py answers: a JSON object per measured row, as soon as it has it."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from typing import IO, Any

TURN = "GPU_BENCHMARK_TURN"
"""The variable that names the file which a worker locks while it has the device."""

Row = dict[str, Any]
"""One measured row: its `row` (the name), and what was measured."""


class Answers:
    """Rows go to the standard output; whatever else is printed goes to the standard error."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out

    def tell(self, row: str, **measured: Any) -> None:
        """Answers with one row."""
        print(json.dumps({"row": row, **measured}), file=self.out, flush=True)


def answers() -> Answers:
    """Takes the standard output for itself, from now on."""
    mine = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return Answers(mine)


def asked() -> Row:
    """What this worker shall measure: the object in its first argument."""
    wanted: Row = json.loads(sys.argv[1])
    return wanted


def take_turn() -> None:
    """Waits until no other worker has the device, which is then this one's until its process ends. What needs no device
    is done before: a worker starts while the one before it measures."""
    path = os.environ.get(TURN)
    if path:
        fcntl.flock(os.open(path, os.O_WRONLY | os.O_CREAT), fcntl.LOCK_EX)


def about_jax() -> Row:
    """The device and the version, as every row of JAX's tells them."""
    import jax

    return {"device": jax.devices()[0].device_kind, "version": f"jax {jax.__version__}"}
