"""The hardware catalogue: one YAML file per chip, checked by `hardware.schema.json`, read into `Hardware`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Hardware:
    """One kind of chip. Rates are per device (what JAX counts), in units per second; 0 where there is no such thing.

    `peak_flops_per_second` is by dtype (`bfloat16`, `float32`, `float8`), dense, marketing peak; `achievable` what a
    large matmul really gets, where someone measured it. `topologies` are the chip shapes on offer, () where any count
    goes.
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
