"""How the experts' matrices are multiplied: which kernels can, and which one `auto` means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from moec.compiler.passes.choose_kernels import AMD, is_on_platform
from moec.compiler.typed import ExpertsSpec, RunSpec

BY_ROWS: Final = ("tiles", "megablox", "mosaic_gpu", "triton")
"""The kernels that take as many rows per expert as it got, and no empty slots."""

ROWS_OF_EXPERT: Final[Mapping[str, int]] = {"mosaic_gpu": 128, "triton": 64}
"""What they round an expert's rows up to, where that is the same for all experts. Source: runtime/sorted_rows.py."""

WIDTH_MULTIPLES: Final[Mapping[str, int]] = {"mosaic_gpu": 64, "triton": 16}
"""What d_model, and d_ff on a device, are multiples of. Source: runtime/mosaic_matmul.py, triton_matmul.py."""

HOPPER: Final = ("h100", "h200")

ON_GPUS: Final = {
    "mosaic_gpu": "blocks of one expert each, by Hopper's matrix units",
    "triton": "blocks of one expert each, compiled by Triton",
}
"""What `auto` tries for dropless experts, in this order, and why."""


def can_multiply(run: RunSpec, experts: ExpertsSpec, model_axis: int, kernel: str) -> bool:
    """Whether the kernel is for the run's hardware and these experts' widths."""
    return is_on_platform(run, kernel) and not grouped_matmul_cannot(run, experts, model_axis, kernel)


def grouped_matmul_cannot(run: RunSpec, experts: ExpertsSpec, model_axis: int, kernel: str) -> str:
    """Why a kernel for GPUs cannot multiply these experts on its GPU, "" where it can."""
    multiple = WIDTH_MULTIPLES.get(kernel)
    if multiple is None:
        return ""
    chip, compute = run.mesh.hardware.name, run.model.dtype.compute
    if kernel == "mosaic_gpu" and chip not in HOPPER:
        return f"it is made for {' and '.join(HOPPER)}, not {chip}"
    if chip in AMD:
        return f"it is made for NVIDIA's GPUs, not {chip}"
    if kernel == "mosaic_gpu" and compute != "bfloat16":
        return f"it computes in bfloat16, not {compute}"
    for name, width in (("d_model", run.model.d_model), ("d_ff on a device", experts.d_ff // model_axis)):
        if width % multiple:
            return f"{name} must be a multiple of {multiple}, not {width}"
    return ""


def choose_grouped_matmul(
    run: RunSpec, experts: ExpertsSpec, axes: Mapping[str, int], dispatch: str
) -> tuple[str, str]:
    """The runtime's name for how experts multiply, and why. On CPU tiles take 0.87 of the step (docs/log.md)."""
    platform = run.mesh.hardware.platform
    if experts.grouped_matmul != "auto":
        return experts.grouped_matmul, "written in the spec"
    if experts.capacity_factor is None:
        if platform == "tpu":
            return "megablox", "blocks of rows that may be two experts'; no empty slot is multiplied"
        for kernel, why in ON_GPUS.items():
            if can_multiply(run, experts, axes["model"], kernel):
                return kernel, f"{why}; an expert's rows are rounded up to {ROWS_OF_EXPERT[kernel]}"
        return "tiles", "tiles of one expert each; an expert is padded by less than a quarter of one"
    if platform == "cpu" and axes["expert"] == 1 and dispatch == "sorted":
        return "tiles", "tiles of one expert each; empty slots are not multiplied, which a CPU gains from"
    return "batched", "one batched matmul over experts; empty slots are multiplied too"
