"""Seconds that choosing takes: every axis, the micro-batch and the policy `auto`, on 512 to 4,096 chips.

    python benchmarks/planner.py

CPU time of `plan_run` in one process, after a warm-up, so that other load on the machine counts little. The models are
Switch-Base, whose 12 heads rule most layouts out, and one whose every length is a power of two, which rules out hardly
any; with a large memory nearly all fit, with a small one each has to be searched for its micro-batch.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from moec.compiler.pipeline import plan_run
from moec.compiler.resolve import resolve
from moec.compiler.typed import MESH_AXES, RunSpec
from moec.spec.loader import load, load_text
from moec.spec.reader import read

SWITCH_BASE = Path(__file__).parent.parent / "examples" / "switch_base.moe"
POWERS_OF_TWO = """
edition = 2026
model powers {{
  vocab_size = 128Ki
  seq_len    = 8Ki
  n_layers   = {layers}
  d_model    = {width}
  attention {{ n_heads = 128, n_kv_heads = 128, d_head = 128 }}
  ffn       {{ d_ff = 4 * d_model }}
  experts {{
    every           = 2
    n_experts       = 256
    top_k           = 2
    d_ff            = d_model
    capacity_factor = 1.25
    group_size      = 1Ki
    balance_loss    = 0.01
  }}
}}
mesh pod {{ hardware = tpu_v5p, topology = 16x16x16 }}
budget long {{ steps = 100k }}
run first {{ model = powers, mesh = pod, budget = long, batch {{ tokens = 64Mi }} }}
"""


def all_open(run: RunSpec, topology: tuple[int, int, int]) -> RunSpec:
    """The run with nothing of its layout written."""
    x, y, z = topology
    mesh = replace(run.mesh, devices=x * y * z, topology=topology, axes=dict.fromkeys(MESH_AXES, "auto"))
    return replace(
        run, mesh=mesh, batch=replace(run.batch, micro="auto"), remat=replace(run.remat, policy="auto"), asserts=()
    )


def only_run(text: str | None) -> RunSpec:
    loaded, told = load(str(SWITCH_BASE)) if text is None else load_text("powers.moe", text)
    if loaded is None:
        raise SystemExit(told)
    return resolve(read(loaded)[0])[0].runs[0]


def main() -> None:
    roomy, tight = (POWERS_OF_TWO.format(layers=layers, width=width) for layers, width in ((32, "4Ki"), (64, "16Ki")))
    print("| model | chips | layouts | legal | hold the weights | chosen | CPU seconds |")
    print("|---|---:|---:|---:|---:|---|---:|")
    for name, text in (("Switch-Base", None), ("powers of two, roomy", roomy), ("powers of two, tight", tight)):
        for topology in ((8, 8, 8), (16, 16, 16)):
            run = all_open(only_run(text), topology)
            plan_run(run)
            start = time.process_time()
            plan, told = plan_run(run)
            seconds = time.process_time() - start
            if plan is None or plan.choices is None:
                print(f"| {name} | {run.mesh.devices:,} | | | | {told[0].message} | {seconds:.2f} |")
                continue
            counts = plan.choices
            best = " ".join(f"{axis} {size}" for axis, size in plan.mesh.axes.items() if size > 1)
            chosen = f"{best}, {plan.batch.micro_batches} micro-batches, {plan.run.remat.policy}"
            print(
                f"| {name} | {run.mesh.devices:,} | {counts.layouts:,} | {counts.legal:,} | {counts.holding:,} "
                f"| {chosen} | {seconds:.2f} |"
            )


if __name__ == "__main__":
    main()
