"""What benchmarks/gpu.py takes to the machine with the GPU: the emitted programs, and work.json, which has all else
that is known of them. The one part of that benchmark that needs the compiler."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import plans
from gpu_tasks import WORK, group_of
from peer_workers.protocol import Work

from moec.compiler.plan import Plan
from moec.spec.hardware.catalogue import hardware

MATMULS = {"gpu": ("mosaic_gpu", "triton", "batched"), "cpu": ("batched",)}
ATTENTION = {
    "gpu": {
        "cudnn": ("whole", "packed"),
        "cudnn_of_more": ("packed",),
        "cudnn_by_mask": ("whole", "packed"),
        "cudnn_without_mask": ("whole",),
        "blockwise": ("whole", "packed"),
    },
    "cpu": {"blockwise": ("whole", "packed")},
}
"""Kernels, and the documents that each is given: one without a mask cannot tell them apart, and `cudnn_of_more` is
cuDNN in a program that may tell it fewer than it gets."""

NARROW = {"tokens": 8192, "top_k": 2, "n_experts": 8, "d_model": 320, "d_ff": 448, "loads": ("uneven", "one")}
"""Experts whose widths no block of 128 divides: the smallest blocks, and loads that leave experts empty."""

MASKED_WIDTH = 1536
"""Of norms: no power of two, so a block of its rows is masked."""

IMPLEMENTATIONS = ("grouped_mm", "eager")
"""How transformers multiplies experts."""

Entry = dict[str, Any]

LARGEST_IN_TORCH = 5
"""Sequences of a micro-batch; of 4,096 tokens each they take some 30 GB in the dense model."""


def emit(spec: Path, folder: Path, chip_name: str | None = None) -> None:
    """Writes a folder per run of `spec`, and work.json, into `folder`, for the chip that is named, else the spec's."""
    all_plans = plans.plans_of(spec, hardware(chip_name) if chip_name else None)
    for name, plan in all_plans.items():
        plans.write_program(plan, folder / name)
    (folder / WORK).write_text(json.dumps(work(all_plans), indent=1) + "\n", encoding="utf-8")


def work(all_plans: dict[str, Plan]) -> Entry:
    """The programs with their plans' numbers, and the shapes of everything else that is measured, which are theirs."""
    firsts: dict[str, Plan] = {}
    for name, plan in all_plans.items():
        firsts.setdefault(group_of(name), plan)
    return {
        "chip": chip(firsts["dense"]),
        "programs": [program(name, plan) for name, plan in all_plans.items()],
        "matmuls": [entry for group, plan in firsts.items() for entry in matmuls(group, plan)]
        + narrow_matmuls(firsts["coarse"]),
        "attention": attention(firsts["dense"]),
        "norms": norms(firsts["dense"]),
        "torch": [entry for group, plan in firsts.items() for entry in in_torch(group, plan)],
    }


def chip(plan: Plan) -> Entry:
    """The chip that the programs are for; rates are in bfloat16, 0 where they are not known."""
    hardware = plan.run.mesh.hardware
    return {
        "name": hardware.name,
        "platform": hardware.platform,
        "peak_flops_per_second": hardware.peak_flops_per_second.get("bfloat16", 0.0),
        "achievable_flops_per_second": hardware.achievable_flops_per_second.get("bfloat16", 0.0),
    }


def program(name: str, plan: Plan) -> Entry:
    """What its plan says of a program."""
    return {
        "name": name,
        "program": f"{name}/program.py",
        "routings": ["random", "balanced"] if plan.run.model.experts else ["none"],
        "vocab_size": plan.run.model.vocab_size,
        "planned_bytes": plan.memory.total,
        "planned_seconds": plan.step_time.seconds,
        **of_step(plan),
    }


def of_step(plan: Plan) -> Entry:
    return {"tokens": plan.batch.tokens, "train_flops_per_token": float(plan.flops.train_per_token)}


def matmuls(group: str, plan: Plan) -> list[Entry]:
    """The matmuls of the experts' w_up, on each kernel; none of a dense model."""
    model = plan.run.model
    if model.experts is None:
        return []
    shape = {
        "tokens": plan.batch.micro_sequences * model.seq_len,
        "top_k": model.experts.top_k,
        "n_experts": model.experts.n_experts,
        "d_model": model.d_model,
        "d_ff": model.experts.d_ff,
        "loads": ("even", "uneven"),
    }
    return _on_each_kernel(group, plan, shape)


def narrow_matmuls(plan: Plan) -> list[Entry]:
    """Those of `NARROW`, on a GPU."""
    return _on_each_kernel("narrow", plan, NARROW) if plan.run.mesh.hardware.platform == "gpu" else []


def _on_each_kernel(name: str, plan: Plan, shape: Entry) -> list[Entry]:
    common = {"name": name, "dtype": plan.run.model.dtype.compute, **shape}
    return [{"kernel": kernel, **common} for kernel in MATMULS[plan.run.mesh.hardware.platform]]


def attention(plan: Plan) -> list[Entry]:
    """One layer's attention, by each kernel."""
    model = plan.run.model
    shape = {
        "sequences": plan.batch.micro_sequences,
        "length": model.seq_len,
        "n_heads": model.attention.n_heads,
        "n_kv_heads": model.attention.n_kv_heads,
        "d_head": model.attention.d_head,
        "dtype": model.dtype.compute,
        "most_documents": plan.kernels.documents,
    }
    by_kernel = ATTENTION[plan.run.mesh.hardware.platform]
    return [{"kernel": kernel, "documents": documents, **shape} for kernel, documents in by_kernel.items()]


def norms(plan: Plan) -> list[Entry]:
    """The norms of a micro-batch by the kernels that GPUs have for them, and of rows of `MASKED_WIDTH`."""
    if plan.run.mesh.hardware.platform != "gpu":
        return []
    model = plan.run.model
    shape = {"rows": plan.batch.micro_sequences * model.seq_len, "dtype": model.dtype.compute}
    return [{"width": width, **shape} for width in (model.d_model, MASKED_WIDTH)]


def in_torch(group: str, plan: Plan) -> list[Entry]:
    """The model of the group for torch; nothing is dropped there. Micro-batches are as large as divides the batch up to
    `LARGEST_IN_TORCH`: it keeps more for the backward pass than moec."""
    model, experts = plan.run.model, plan.run.model.experts
    micro = max(size for size in range(1, LARGEST_IN_TORCH + 1) if plan.batch.sequences % size == 0)
    same = Work(
        width=model.d_model,
        layers=model.n_layers,
        length=model.seq_len,
        sequences=plan.batch.sequences,
        vocab=model.vocab_size,
        heads=model.attention.n_heads,
        d_ff=experts.d_ff if experts else model.ffn.d_ff,
        n_experts=experts.n_experts if experts else 0,
        top_k=experts.top_k if experts else 0,
        capacity_factor=None,
        kv_heads=model.attention.n_kv_heads,
    )
    return [
        {"name": group, "implementation": implementation, "work": asdict(same), "micro": micro, **of_step(plan)}
        for implementation in (IMPLEMENTATIONS if experts else IMPLEMENTATIONS[:1])
    ]
