"""Seconds of a training step of the quickstart's programs, beside the plain steps of plain_step.py.

    python benchmarks/step.py [ROUNDS]

The steps take turns, so that what else the machine does falls on all of them; the least time of each is what it
costs, the ratio of the least times is the overhead. CPU seconds (of all threads) say it on a busy machine, too. Batches
are random bytes, whole rows of one document.
"""

from __future__ import annotations

import argparse
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import optax
import plain_step
from jax import numpy as jnp
from timed_runs import TimedStep, take_turns, timed_step

from moec.runtime.program import Program

SPEC = Path(__file__).parent.parent / "examples" / "quickstart.moe"
PLAIN = {"dense": "plain dense", "experts": "plain experts"}
UNCOUNTED = 2
"""Rounds at the start."""


def plain(model: plain_step.Shape, sequences: int) -> TimedStep:
    """The same model by hand."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, warmup_steps=3, decay_steps=245, end_value=3e-4)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b1=0.9, b2=0.95, weight_decay=0.1))
    train_step = plain_step.make_step(model, optimizer)
    tokens = np.random.default_rng(0).integers(0, model.vocab, (sequences, model.length + 1)).astype(np.int32)
    inputs, targets = jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:])

    def step(state: tuple) -> tuple[object, object]:
        params, optimizer_state, loss = train_step(*state, inputs, targets)
        return (params, optimizer_state), loss

    params = plain_step.make_params(model)
    return TimedStep(step, (params, optimizer.init(params)), model.vocab)


def compiled_programs(folder: Path) -> dict[str, Program]:
    """The quickstart's programs as `moec compile` writes them, and with experts in tiles, with and without drops."""
    text = SPEC.read_text(encoding="utf-8")
    factor = re.search(r"capacity_factor = [0-9.]+", text).group()
    tiles = text.replace(factor, f"{factor}, grouped_matmul = tiles")
    variants = {
        "dense": (text, "baseline"),
        "experts": (text, "with_moe"),
        "experts in tiles": (tiles, "with_moe"),
        "dropless experts": (tiles.replace(factor, "capacity_factor = dropless"), "with_moe"),
    }
    programs = {}
    for number, (name, (variant, run)) in enumerate(variants.items()):
        spec, out = folder / f"{number}.moe", folder / str(number)
        spec.write_text(variant, encoding="utf-8")
        command = (sys.executable, "-m", "moec.cli.main", "compile", str(spec), "-o", str(out))
        subprocess.run(command, check=True, capture_output=True)
        programs[name] = runpy.run_path(str(out / run / "program.py"))["PROGRAM"]
    return programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=30, help="that count (default: %(default)s)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        programs = compiled_programs(Path(folder))
    training = programs["dense"].training
    steps = {name: timed_step(program, plain_step.QUICKSTART.vocab) for name, program in programs.items()}
    sequences = training.micro_batches * training.micro_sequences
    steps[PLAIN["dense"]] = plain(plain_step.QUICKSTART, sequences)
    steps[PLAIN["experts"]] = plain(plain_step.QUICKSTART_EXPERTS, sequences)
    take_turns(steps, 0.0, UNCOUNTED + rounds)
    report(steps, rounds, sequences * training.seq_len)


def report(steps: dict[str, TimedStep], rounds: int, tokens: int) -> None:
    """A line for each step, then the ratio of the emitted to the plain one."""
    print(f"jax {jax.__version__}, {tokens:,} tokens per step, least (median) of {rounds} rounds")
    wall, cpu = {}, {}
    for name, timed in steps.items():
        seconds, cpu_seconds = timed.seconds[UNCOUNTED:], timed.cpu_seconds[UNCOUNTED:]
        wall[name], cpu[name] = min(seconds), min(cpu_seconds)
        medians = f"({1e3 * statistics.median(seconds):.0f})", f"({1e3 * statistics.median(cpu_seconds):.0f})"
        times = f"{1e3 * wall[name]:7.0f} ms {medians[0]:>7}  CPU {1e3 * cpu[name]:7.0f} ms {medians[1]:>7}"
        print(f"{name:<18}{times} {tokens / wall[name]:10,.0f} tokens/s")
    for name in (name for name in steps if name not in PLAIN.values()):
        floor = PLAIN["dense" if name == "dense" else "experts"]
        print(f"{name}: {wall[name] / wall[floor]:.3f} of {floor}, in CPU seconds {cpu[name] / cpu[floor]:.3f}")


if __name__ == "__main__":
    main()
