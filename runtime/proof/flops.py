"""FLOPs of the matrix products in a compiled program, with loops counted as often as they run.

The compiler's own count (`cost_analysis`) takes the body of a loop once, and that of GPUs is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from moec.runtime.proof.hlo import Array, Instruction, Module
from moec.runtime.proof.loops import Executions

_CONTRACTED = re.compile(r"\blhs_contracting_dims=\{([\d,]*)\}")
_DIM_LABELS = re.compile(r"\bdim_labels=(\S+?)_(\S+?)->(\S+?)(?:,|$|\s)")
_GEMM_CONTRACTED = re.compile(r'"lhs_contracting_dimensions":\s*\[([^\]]*)\]')
_WINDOW = re.compile(r"\bwindow=\{([^}]*)\}")
_ATTENTION = re.compile(r"__cudnn\$fmha\w*?(Backward)?\b")
_SPLASH = re.compile(r"\bsplash_m[hq]a_(fwd|dq|dkv)")
_SPLASH_PRODUCTS = {"fwd": 2, "dq": 3, "dkv": 4}
"""Products of queries, keys and width: scores and mix; scores, their gradient and the queries'; and both others'."""
_PALLAS = re.compile(r'custom_call_target="(?:mosaic_gpu|__gpu\$xla\.gpu\.triton|tpu_custom_call)')
"""How programs that were written in Pallas are called on GPUs and TPUs."""
_CAUSAL = re.compile(r'"mask_type":\s*"\w*CAUSAL')

FLOATS = ("f32", "bf16", "f16")
"""HLO's names of the types that grouped matmuls take."""


def count_flops(module: Module, executions: Executions, n_experts: int = 0) -> float:
    """2 x multiplications of all matrix products, convolutions and fused attentions in one step on one device.

    A device that has some of `n_experts` multiplies that share of the rows that a grouped matmul is given, where loads
    are even; all of them where the number is not known.
    """
    total = 0.0
    for name, times in executions.times.items():
        computation = module.computations[name]
        shapes = {row.name: row.results for row in computation.instructions}
        total += times * sum(_flops(row, shapes, n_experts) for row in computation.instructions)
    return total


def _flops(row: Instruction, shapes: Mapping[str, tuple[Array, ...]], n_experts: int) -> float:
    operands = [shapes[name][0] for name in row.operands if shapes.get(name)]
    if row.opcode == "dot" and operands:
        return _of_contraction(row.results[0], operands[0], _CONTRACTED.search(row.attributes))
    if row.opcode == "convolution" and len(operands) == 2:
        return _of_convolution(row, operands[1])
    if row.opcode == "custom-call" and operands:
        return _of_custom_call(row, operands, n_experts)
    return 0.0


def _of_contraction(result: Array, left: Array, contracted: re.Match[str] | None) -> float:
    dims = re.findall(r"\d+", contracted.group(1)) if contracted else []
    return 2.0 * result.elements * prod(left.shape[int(dim)] for dim in dims)


def _of_convolution(row: Instruction, kernel: Array) -> float:
    """2 x outputs x inputs per output. On TPUs batched products are windows that slide over zeros; only positions that
    meet a number count. Source: HandleConvolution in xla/service/hlo_cost_analysis.cc."""
    labels = _DIM_LABELS.search(row.attributes)
    if not labels:
        return 0.0
    _, kernel_labels, out_labels = labels.groups()
    out = dict(zip(out_labels, row.results[0].shape, strict=True))
    inner = dict(zip(kernel_labels, kernel.shape, strict=True))
    windows = _windows(row.attributes)
    positions = 1
    for dim, window in enumerate(windows):
        positions *= _valid_positions(window, out[str(dim)])
    return 2.0 * out["b"] * out["f"] * inner["i"] * positions


def _windows(attributes: str) -> list[dict[str, str]]:
    found = _WINDOW.search(attributes)
    fields = dict(part.split("=") for part in found.group(1).split() if "=" in part) if found else {}
    count = len(fields["size"].split("x")) if "size" in fields else 0
    columns = {name: text.split("x") for name, text in fields.items()}
    return [{name: column[dim] for name, column in columns.items()} for dim in range(count)]


def _valid_positions(window: dict[str, str], outputs: int) -> int:
    """Pairs of an output and a window element that meet an element of the input, along one dim."""
    size, stride = int(window["size"]), int(window.get("stride", 1))
    low, _, high = window.get("pad", "0_0").partition("_")
    spread, reach = int(window.get("lhs_dilate", 1)), int(window.get("rhs_dilate", 1))
    padded = (outputs - 1) * stride + (size - 1) * reach + 1
    last = padded - int(low) - int(high or 0) - 1
    if size == 1 and stride == 1 and spread == 1:
        return outputs
    inside = 0
    for element in range(size):
        for output in range(outputs):
            place = output * stride + element * reach - int(low)
            inside += 0 <= place <= last and place % spread == 0
    return inside


def _of_custom_call(row: Instruction, operands: list[Array], n_experts: int) -> float:
    """Products that a library does: cuBLAS; grouped matmuls; cuDNN's attention (two products forward, five backward,
    half of each where it skips what the causal order hides); and the splash kernels, which always skip that. Windows
    are not looked at."""
    if "$gemm" in row.attributes or "$lt$matmul" in row.attributes:
        return _of_contraction(row.results[0], operands[0], _GEMM_CONTRACTED.search(row.attributes))
    splash = _SPLASH.search(row.name)
    if splash:
        queries = next(array for array in operands if array.type in FLOATS)
        return _SPLASH_PRODUCTS[splash.group(1)] * queries.elements * queries.shape[-2]
    if _PALLAS.search(row.attributes):
        return _of_grouped(row.results[0], [array for array in operands if array.type in FLOATS], n_experts)
    attention = _ATTENTION.search(row.attributes)
    if not attention or len(operands[0].shape) != 4:
        return 0.0
    queries, keys = operands[0], operands[1]
    products = 5 if attention.group(1) else 2
    length = keys.shape[_sequence_dim(queries, keys)]
    return products * (1.0 if _CAUSAL.search(row.attributes) else 2.0) * queries.elements * length


def _of_grouped(result: Array, operands: list[Array], n_experts: int) -> float:
    """2 x multiplications of rows [R, K] with the weights of their experts [E, K, N] or [E, N, K], or of rows with rows
    [R, D], [R, F] (or [D, R]) to weights [E, D, F]. 0 for any other kernel."""
    matrices = [array for array in operands if len(array.shape) == 2]
    stacks = [array for array in operands if len(array.shape) == 3]
    if len(result.shape) == 2 and len(matrices) == len(stacks) == 1:
        (rows, summed), (_, *sides) = matrices[0].shape, stacks[0].shape
        is_grouped = sorted(sides) == sorted((summed, result.shape[1])) and result.shape[0] == rows
        share = _share(stacks[0].shape[0], n_experts)
        return 2.0 * share * result.elements * summed if is_grouped else 0.0
    if len(result.shape) == 3 and len(matrices) == 2:
        (here, d_in, d_out), (left, right) = result.shape, matrices
        rows = right.elements // d_out
        is_grouped = {left.elements, right.elements} == {rows * d_in, rows * d_out}
        return 2.0 * _share(here, n_experts) * rows * d_in * d_out if is_grouped else 0.0
    return 0.0


def _share(here: int, n_experts: int) -> float:
    """Of all rows those that `here` experts have."""
    return min(1.0, here / n_experts) if n_experts else 1.0


def _sequence_dim(queries: Array, keys: Array) -> int:
    """The dim of [B, N, S, H] or [B, S, N, H] that is not the heads': the longer of the two."""
    return 1 if keys.shape[1] >= keys.shape[2] else 2
