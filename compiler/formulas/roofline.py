"""What one device does in a second, and how long an operation takes on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from moec.spec.hardware import Hardware

CALIBRATED_AS: Final[Mapping[str, str]] = {
    "attention q": "attention projections",
    "attention k, v": "attention projections",
    "attention o": "attention projections",
    "router": "ffn",
    "shared experts": "ffn",
    "dispatch, combine": "ffn",
}
"""Under which name a calibration has the rate of an operation, where that is not its own."""

ACHIEVABLE_SHARE: Final = 0.8
"""Assumption where the catalogue has no measured rate: H100 reaches 798 of 989 TFLOP/s at 8192^3
(reference/jax-facts.md)."""

CUDNN_BY_LENGTHS, CUDNN_BY_MASK = 0.5, 0.25
"""What cuDNN's attention reaches of the rate of a large matmul, as it is told documents: forward and backward, what the
kernel computes again included, the causal half counted. Measured on one H100, 4 and 8 sequences of 4,096 tokens, 16
heads of 128 (docs/log.md, 2026-11-28): 0.46 and 0.51 by lengths, 0.26 by a mask."""

TRITON_EXPERTS = 0.55
"""What grouped matmuls by Triton reach of the rate of a large matmul, empty rows not counted. Measured in steps of 8
wide and 64 narrow experts on one H200: 0.57 and 0.56; each by itself on one H100: 0.51 and 0.49, forward and backward
(benchmarks/results). Assumption: as much on other GPUs, on which nothing was measured."""

FLOAT32_SHARE: Final = 0.5
"""Assumption where the catalogue has no float32 rate: half of bfloat16, which is TF32 against bfloat16 on NVIDIA
tensor cores."""


def peak_flops_per_second(hardware: Hardware, dtype: str) -> float:
    """The marketing peak for matmuls in `dtype`, 0 where it is unknown."""
    peaks = hardware.peak_flops_per_second
    if peaks.get(dtype):
        return peaks[dtype]
    return FLOAT32_SHARE * peaks.get("bfloat16", 0.0) if dtype == "float32" else 0.0


def matmul_flops_per_second(hardware: Hardware, dtype: str) -> float:
    """What a large matmul gets: measured where someone measured it, else `ACHIEVABLE_SHARE` of the peak; 0 if unknown.

    Assumption: where only other dtypes' measured rates are known, this one's is the best of them.
    """
    measured = hardware.achievable_flops_per_second
    known = measured.get(dtype) or ACHIEVABLE_SHARE * peak_flops_per_second(hardware, dtype)
    return known or max(measured.values(), default=0.0)


def operation_flops_per_second(hardware: Hardware, dtype: str, operation: str) -> float:
    """What an operation of the plan gets inside a step: as calibrated, else as a large matmul; 0 if unknown."""
    if hardware.calibration is not None:
        rate = hardware.calibration.operations.get(CALIBRATED_AS.get(operation, operation))
        if rate:
            return rate
    return matmul_flops_per_second(hardware, dtype)


def copy_bytes_per_second(hardware: Hardware) -> float:
    """What reading and writing memory gets: measured where someone measured it, else the peak; 0 where unknown."""
    return hardware.achievable_bytes_per_second or hardware.hbm_bytes_per_second


def devices_that_share(hardware: Hardware, devices: int) -> int:
    """How many of the mesh's devices share the rates of one: all of a cpu mesh, whose devices are one machine's cores.

    Assumption: a cpu mesh lies in one process, as virtual devices do.
    """
    return devices if hardware.platform == "cpu" else 1


def compute_bound_rows(hardware: Hardware, dtype: str, bytes_per_element: int) -> float:
    """Rows from which on a matmul is bound by compute and not by reading its weights: peak * bytes / (2 * bandwidth).

    Source: rows * 2 FLOPs per weight against bytes_per_element read per weight; 0 where a rate is unknown.
    """
    if not hardware.hbm_bytes_per_second:
        return 0.0
    return peak_flops_per_second(hardware, dtype) * bytes_per_element / (2 * hardware.hbm_bytes_per_second)
