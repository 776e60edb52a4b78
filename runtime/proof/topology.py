"""Devices that are not there: what JAX compiles for in place of chips."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib import resources
from math import prod
from unittest import mock

import jax
from jax.experimental import topologies

from moec.runtime.failure import RunError
from moec.runtime.proof.targets import Target

ONE_DEVICE_OF_TWO_CORES = ("tpu_v4",)
"""Chips whose two cores are one device on Cloud TPU and two in a topology that is not told so."""


def devices_of(target: Target) -> list[jax.Device]:
    """The devices of `target` in the compiler's order.

    Errors: RunError (exit 2) where the compiler does not know the shape; RunError (exit 1) where it has another number
    of devices.
    """
    if target.chip.platform == "cpu":
        if jax.config.jax_num_cpu_devices != target.devices:
            jax.config.update("jax_num_cpu_devices", target.devices)
        return list(jax.devices("cpu"))
    try:
        devices = list(_description(target).devices)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"the compiler of {target.chip.name} does not offer {target}: {_first_line(error)}", 2
        ) from error
    if len(devices) != target.devices:
        raise RunError(f"{target} should have {target.devices} devices, and its compiler has {len(devices)}")
    return devices


@contextlib.contextmanager
def answering_for(target: Target) -> Iterator[None]:
    """JAX asks the first GPU what cuDNN attention can do on it: where it is not there, its description answers."""
    if target.chip.platform != "gpu":
        yield
        return
    from jax._src.cudnn import fused_attention_stablehlo as attention

    own = compute_capability(target.chip.name)

    def reaches(wanted: str) -> bool:
        return tuple(map(int, wanted.split("."))) <= own

    with mock.patch.object(attention, "check_compute_capability", reaches):
        yield


def compute_capability(name: str) -> tuple[int, int]:
    """Of an NVIDIA GPU by its name in the catalogue: (9, 0) for Hopper."""
    (described,) = re.findall(r"cuda_compute_capability \{(.*?)\}", device_description(name))
    parts = dict(re.findall(r"(major|minor): (\d+)", described))
    return int(parts["major"]), int(parts.get("minor", 0))


def _description(target: Target) -> topologies.TopologyDescription:
    chip = target.chip
    if chip.platform == "gpu":
        hosts = max(1, target.devices // chip.host_devices)
        return topologies.get_topology_desc(
            platform="cuda",
            topology_name=chip.name,
            target_config=device_description(chip.name),
            topology=f"1x{hosts}x{target.devices // hosts}",
        )
    name = f"{chip.compiler_name}:{'x'.join(map(str, target.shape))}"
    more: dict[str, object] = {"num_slices": target.slices} if target.slices > 1 else {}
    if prod(target.shape) == 1:
        more["chips_per_host_bounds"] = (1, 1, 1)
    if chip.name in ONE_DEVICE_OF_TWO_CORES:
        more["chip_config_name"] = "megacore"
    return topologies.get_topology_desc(platform="tpu", topology_name=name, **more)


def device_description(name: str) -> str:
    """What XLA must know of an NVIDIA GPU that is not here: a GpuTargetConfigProto as text."""
    return (resources.files("moec.runtime.proof") / "devices" / f"{name}.txtpb").read_text(encoding="utf-8")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
