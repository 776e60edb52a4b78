"""The hardware catalogue: one YAML file per chip, checked by `hardware.schema.json`, read into `Hardware`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a training step was measured to reach on a machine, part by part.

    `operations` has FLOP/s by the name of an operation in the plan; rates are in bytes per second: `traffic` of what
    lies between matrix products, `dispatch` of rows on their way to experts and back, `update` of the optimizer.
    `step_seconds` and `layer_seconds` pass whatever the sizes are. `made_by` says how it was measured, `error` what
    it was held against.
    """

    operations: Mapping[str, float]
    traffic_bytes_per_second: float
    dispatch_bytes_per_second: float
    update_bytes_per_second: float
    step_seconds: float
    layer_seconds: float
    made_by: str
    error: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """One kind of chip. Rates are per device (what JAX counts), in units per second; 0 where there is no such thing.

    `peak_flops_per_second` is by dtype (`bfloat16`, `float32`, `float8`), dense, marketing peak; `achievable` what a
    large matmul or a copy of memory really gets, where someone measured it. Latencies are of one message over a link
    and over the slower network. `sources` begin with the figure that they are for. `calibration` is None where no step
    was measured on the machine. `topologies` are the chip shapes on offer, () where any count goes.
    """

    name: str
    title: str
    platform: Literal["cpu", "gpu", "tpu"]
    peak_flops_per_second: Mapping[str, float]
    achievable_flops_per_second: Mapping[str, float]
    hbm_bytes: int
    hbm_bytes_per_second: float
    devices_per_chip: int
    chips_per_node: int
    link_bytes_per_second: float
    links: int
    network_bytes_per_second: float
    topologies: tuple[tuple[int, ...], ...]
    tile: tuple[int, int]
    sources: tuple[str, ...]
    achievable_bytes_per_second: float = 0.0
    link_latency_seconds: float = 0.0
    network_latency_seconds: float = 0.0
    calibration: Calibration | None = None
