"""Measured steps -> the rates that explain them best: a calibration for a hardware file.

A predicted step is a sum of amounts (FLOPs, bytes, steps, layers) divided by rates, so seconds per unit are found by
least squares on relative errors, none below zero. A weak pull towards the machine's plain rates (a large matmul, a
copy) decides what the steps leave open.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import numpy as np
from jax import numpy as jnp
from scipy.optimize import nnls

from moec.compiler.formulas.roofline import CALIBRATED_AS
from moec.compiler.plan import Plan
from moec.spec.hardware import Calibration, Hardware

OPERATIONS = ("attention projections", "attention scores, values", "ffn", "experts", "head")
PULL = 0.02
"""Weight of one plain rate against one measured step. Assumption: a plain rate is right up to a factor of three."""

PARTS = (*OPERATIONS, "traffic", "dispatch", "update", "step", "layer")
"""What has a rate of its own; `step` and `layer` are fixed times."""

UNIT = Calibration(
    operations=dict.fromkeys(OPERATIONS, 1.0),
    traffic_bytes_per_second=1.0,
    dispatch_bytes_per_second=1.0,
    update_bytes_per_second=1.0,
    step_seconds=0.0,
    layer_seconds=0.0,
    made_by="units",
    error="",
)
"""With it the seconds of a plan's rows are the amounts themselves."""


@dataclass(frozen=True, slots=True)
class PlainRates:
    """What the machine does in the simplest case: a large float32 matmul, and reading and writing a large array."""

    flops_per_second: float
    bytes_per_second: float


def amounts(plan: Plan) -> np.ndarray:
    """FLOPs, bytes, steps and layers of a plan made with `UNIT`, one per part."""
    found = dict.fromkeys(PARTS, 0.0)
    for row in plan.step_time.breakdown:
        found[_part(row.what)] += row.seconds
    found["step"] = 1.0
    found["layer"] = float(len(plan.stack.layers) * plan.batch.micro_batches)
    return np.array([found[part] for part in PARTS])


def _part(what: str) -> str:
    if what.startswith("between products"):
        return "traffic"
    named = {"dispatch and combine": "dispatch", "optimizer": "update", "starting operations": "step"}
    return named.get(what) or CALIBRATED_AS.get(what, what)


def fit(steps: Mapping[str, tuple[Plan, float]], plain: PlainRates, made_by: str) -> Calibration:
    """The calibration that comes closest to the measured seconds of all steps.

    Errors: ValueError where the steps cannot tell the parts apart.
    """
    counted = [amounts(plan) for plan, _ in steps.values()]
    _check_shapes(counted)
    measured = np.array([seconds for _, seconds in steps.values()])
    matrix = np.stack(counted) / measured[:, None]
    expected = np.array([_expected(part, plain) for part in PARTS])
    rated = expected > 0
    pull = np.diag(np.where(rated, PULL / np.where(rated, expected, 1.0), 0.0))[rated]
    # Columns in units of one typical step, so that the solver sees numbers near 1.
    scale = 1.0 / matrix.max(axis=0)
    left = np.concatenate([matrix, pull]) * scale
    right = np.concatenate([np.ones(len(measured)), np.full(int(rated.sum()), PULL)])
    unit_seconds, _ = nnls(left, right)
    return _calibration(unit_seconds * scale, expected, made_by)


def _check_shapes(counted: list[np.ndarray]) -> None:
    """ValueError where there are too few steps, a part that none has, or steps that are multiples of one another."""
    if len(counted) < len(PARTS):
        raise ValueError(f"{len(counted)} steps cannot tell {len(PARTS)} parts apart: time as many shapes at least")
    missing = [part for part, most in zip(PARTS, np.max(counted, axis=0), strict=True) if most == 0]
    if missing:
        raise ValueError(f"no step has any of {', '.join(missing)}: time a model that has")
    rank = int(np.linalg.matrix_rank(np.stack(counted) / np.max(counted, axis=0)))
    if rank < len(PARTS):
        raise ValueError(f"the steps are too alike: they tell {rank} of {len(PARTS)} parts apart")


def _expected(part: str, plain: PlainRates) -> float:
    if part in ("step", "layer"):
        return 0.0
    return 1.0 / (plain.flops_per_second if part in OPERATIONS else plain.bytes_per_second)


def _calibration(unit_seconds: np.ndarray, expected: np.ndarray, made_by: str) -> Calibration:
    """Rates from seconds per unit. A part that no time was left for gets a tenth of its plain time."""
    least = np.where(expected > 0, expected / 10, 0.0)
    costs = dict(zip(PARTS, np.maximum(unit_seconds, least), strict=True))
    return Calibration(
        operations={name: 1 / costs[name] for name in OPERATIONS},
        traffic_bytes_per_second=1 / costs["traffic"],
        dispatch_bytes_per_second=1 / costs["dispatch"],
        update_bytes_per_second=1 / costs["update"],
        step_seconds=costs["step"],
        layer_seconds=costs["layer"],
        made_by=made_by,
        error="held against no other run",
    )


def measure_plain_rates() -> PlainRates:
    """The least of some calls each."""
    side, length = 1024, 2**25
    square = jnp.ones((side, side), jnp.float32)
    long = jnp.ones(length, jnp.float32)
    product = _least_seconds(jax.jit(lambda x: x @ x), square)
    copy = _least_seconds(jax.jit(lambda x: x + 1), long)
    return PlainRates(2 * side**3 / product, 2 * 4 * length / copy)


def _least_seconds(function: object, array: jax.Array) -> float:
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        jax.block_until_ready(function(array))
        seconds.append(time.perf_counter() - start)
    return min(seconds[2:])


def as_yaml(hardware: Hardware, calibration: Calibration, plain: PlainRates) -> str:
    """The text of a hardware file of this machine."""
    operations = "\n".join(f"    {name}: {_flops(rate)}" for name, rate in calibration.operations.items())
    return f"""name: {hardware.name}
title: {hardware.title}
platform: cpu
peak: {{}}
achievable: {{float32: {_flops(plain.flops_per_second)}}}
hbm: 0kB
hbm_rate: 0GB/s
achievable_hbm_rate: {_bytes(plain.bytes_per_second)}
devices_per_chip: 1
chips_per_node: 1
link_rate: 0GB/s
links: 0
network_rate: 0GB/s
tile: [1, 1]
calibration:
  operations:
{operations}
  traffic: {_bytes(calibration.traffic_bytes_per_second)}
  dispatch: {_bytes(calibration.dispatch_bytes_per_second)}
  update: {_bytes(calibration.update_bytes_per_second)}
  step: {1e3 * calibration.step_seconds:.4f}ms
  layer: {1e3 * calibration.layer_seconds:.4f}ms
  made_by: '{calibration.made_by}'
  error: '{calibration.error}'
sources:
  peak: unknown
  achievable: a float32 matrix product of 1024 x 1024 x 1024, the least of 10 calls
  hbm: not limited by the chip
  hbm_rate: unknown
  achievable_hbm_rate: reading and writing an array of 128 MiB, the least of 10 calls
  link_rate: devices of one machine
  network_rate: devices of one machine
  tile: no tile is asked of matrix products
  calibration: the calibration itself says how it was made
"""


def _flops(rate: float) -> str:
    return f"{rate / 1e9:.2f}GFLOP/s"


def _bytes(rate: float) -> str:
    return f"{rate / 1e9:.3f}GB/s"


def with_calibration(hardware: Hardware, calibration: Calibration) -> Hardware:
    """The same chip, calibrated."""
    return replace(hardware, calibration=calibration)
