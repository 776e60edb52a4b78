"""The same models on torch: transformers' Llama and Mixtral, weights and AdamW in bfloat16, attention by torch's own
kernels (`sdpa`), the fused AdamW, nothing computed twice; routing is the router's own.

So the optimizer moves half of the bytes that moec's does, which keeps weights in float32.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path

from answers import Answers, Row, answers, asked, take_turn

sys.path.append(str(Path(__file__).parents[1] / "peer_workers"))
from protocol import Work

DEVICE = "cuda"
WARM_UP, LEAST_STEPS = 3, 4


def missing() -> str:
    """What this needs and does not find, "" where all is there."""
    lacking = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if lacking:
        return f"no {' and no '.join(lacking)} in this Python"
    import torch

    return "" if torch.cuda.is_available() else f"torch {torch.__version__} sees no CUDA device"


def measure(wanted: Row, told: Answers) -> None:
    """Tells one row."""
    lacking = missing()
    measured = {"skipped": lacking} if lacking else steps(Work(**wanted["work"]), wanted)
    told.tell("random", **measured)


def steps(work: Work, wanted: Row) -> Row:
    """What training steps take."""
    import torch
    import transformers
    from transformers_worker import make_model, make_step

    take_turn()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(DEVICE):
        model = make_model(work, wanted["implementation"]).to(torch.bfloat16)
        step = make_step(model, torch.randint(0, work.vocab, (work.sequences, work.length)), wanted["micro"])
    torch.cuda.reset_peak_memory_stats()
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < WARM_UP + LEAST_STEPS or time.perf_counter() - began < wanted["seconds"]:
        start = time.perf_counter()
        loss = step()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return {
        "seconds": taken[WARM_UP:],
        "loss": float(loss),
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "device": torch.cuda.get_device_name(),
        "version": f"torch {torch.__version__}, transformers {transformers.__version__}",
    }


if __name__ == "__main__":
    measure(asked(), answers())
