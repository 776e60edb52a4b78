"""Which network a collective over a mesh axis runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from moec.compiler.typed import MESH_AXES
from moec.spec.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Network:
    """Bandwidth of one device in one direction; `ring` where an all-to-all takes more than one hop."""

    bytes_per_second: float
    latency_seconds: float
    ring: bool
    slow: bool


def fast_devices(hardware: Hardware, devices: int, slices: int) -> int:
    """Devices that the fast links reach: a node of GPUs, a slice of TPUs, all of a cpu mesh."""
    if hardware.platform == "gpu" and hardware.chips_per_node:
        return hardware.chips_per_node * hardware.devices_per_chip
    return devices // slices


def axis_reach(axes: Mapping[str, int], axis: str) -> int:
    """Devices from the first to behind the last of one group over `axis`: its size times the axes inside it."""
    return prod(axes[name] for name in MESH_AXES[MESH_AXES.index(axis) :])


def network_of(hardware: Hardware, axes: Mapping[str, int], names: tuple[str, ...], fast: int) -> Network:
    """The network that the slowest of the axes `names` crosses; 0 bytes per second where it is unknown.

    Assumption: devices are numbered so that the last mesh axis lies on the nearest chips; a TPU ring uses one link
    each way.
    """
    latency = hardware.link_latency_seconds
    if any(axes[axis] > 1 and axis_reach(axes, axis) > fast for axis in names):
        return Network(hardware.network_bytes_per_second, hardware.network_latency_seconds, False, True)
    if hardware.platform == "tpu":
        return Network(hardware.link_bytes_per_second * min(hardware.links, 2), latency, True, False)
    return Network(hardware.link_bytes_per_second * max(hardware.links, 1), latency, False, False)
