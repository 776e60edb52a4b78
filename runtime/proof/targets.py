"""What a program can be compiled for: `tpu_v5p:8x8x8`, `h100:8`, `cpu:8`. Needs no JAX."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from math import prod

from moec.runtime.failure import RunError
from moec.runtime.mesh import MeshShape


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip that JAX has a compiler for: its name in the catalogue, and what the compiler calls it.

    `hbm_bytes` is per device; 0 where the memory is not the chip's own. `module` is what must be installed, with the
    extra of moec that brings it; `host_devices` how many devices a host has.
    """

    name: str
    platform: str
    compiler_name: str
    devices_per_chip: int
    hbm_bytes: int
    module: str
    extra: str
    host_devices: int


def _tpu(name: str, compiler_name: str, hbm_gigabytes: int, devices_per_chip: int = 1) -> Chip:
    return Chip(name, "tpu", compiler_name, devices_per_chip, hbm_gigabytes * 10**9, "libtpu", "tpu", 4)


def _gpu(name: str, hbm_gigabytes: int, host_devices: int = 8) -> Chip:
    return Chip(name, "gpu", name, 1, hbm_gigabytes * 10**9, "jax_cuda13_plugin", "cuda", host_devices)


CHIPS = (
    Chip("cpu", "cpu", "cpu", 1, 0, "jax", "dev", 1),
    _tpu("tpu_v4", "v4", 32),
    _tpu("tpu_v5e", "v5e", 16),
    _tpu("tpu_v5p", "v5p", 95),
    _tpu("tpu_v6e", "v6e", 32),
    _tpu("tpu_7x", "tpu7x", 96, devices_per_chip=2),
    _gpu("a100", 80),
    _gpu("h100", 80),
    _gpu("h200", 141),
    _gpu("b200", 180),
    _gpu("gb200", 186, host_devices=4),
)
"""Names and memory as the hardware catalogue has them, held together by a test; the compiler's names are libtpu's."""


@dataclass(frozen=True, slots=True)
class Target:
    """Chips in a shape: `shape` is the topology of one slice in chips, or how many chips where they have none."""

    chip: Chip
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def devices(self) -> int:
        """How many JAX devices it has, over all slices."""
        return prod(self.shape) * self.chip.devices_per_chip * self.slices

    @property
    def name(self) -> str:
        """As it is written on the command line; slices are an option of their own."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    def __str__(self) -> str:
        return self.name if self.slices == 1 else f"{self.name} x {self.slices} slices"


def chip_named(name: str) -> Chip:
    """Errors: RunError (exit 2) with the names that there are."""
    for chip in CHIPS:
        if chip.name == name:
            return chip
    known = ", ".join(chip.name for chip in CHIPS)
    raise RunError(f"no compiler is known for `{name}`; programs are proven for {known}", 2)


def read_target(text: str, slices: int, mesh: MeshShape) -> Target:
    """The target that `text` names. A chip alone stands for as many as the program's mesh has.

    Errors: RunError (exit 2) for an unknown chip, a shape that is none, slices of anything but TPUs.
    """
    name, colon, shape = text.strip().partition(":")
    chip = chip_named(name)
    if not colon:
        if chip.platform == "tpu":
            raise RunError(f"say which topology of {name}: --target {name}:{_example(chip)}", 2)
        return _checked(Target(chip, (mesh.devices,), slices))
    sides = shape.split("x")
    if not all(side.isascii() and side.isdecimal() and 0 < int(side) < 10**5 for side in sides):
        raise RunError(f"`{shape}` is no shape of chips; for instance --target {name}:{_example(chip)}", 2)
    return _checked(Target(chip, tuple(int(side) for side in sides), slices))


def own_target(mesh: MeshShape, topology: tuple[int, ...] | None, slices: int) -> Target:
    """The chips that the program is written for; `topology` and `slices` come from the plan beside it.

    Errors: RunError (exit 2) where the program is for TPUs and no plan tells their topology.
    """
    chip = chip_named(mesh.hardware)
    if chip.platform != "tpu":
        return _checked(Target(chip, (mesh.devices,)))
    if topology is None:
        raise RunError(
            f"no plan.json beside the program says in which topology its {mesh.devices} x {chip.name} stand: "
            f"give it, for instance --target {chip.name}:{_example(chip)}",
            2,
        )
    return Target(chip, topology, slices)


def check_devices(target: Target, mesh: MeshShape) -> None:
    """Errors: RunError (exit 2) where the target has another number of devices than the program's mesh."""
    if target.devices == mesh.devices:
        return
    axes = " x ".join(f"{axis} {size}" for axis, size in zip(_AXES, mesh.sizes, strict=True) if size > 1) or "1"
    raise RunError(
        f"{target} has {target.devices} devices, and the program's mesh {mesh.devices} ({axes}).\n"
        f"  1. choose a target with {mesh.devices} devices\n"
        "  2. or give the run a mesh of that size in the spec (hardware, topology or devices, axes) and compile again",
        2,
    )


def check_installed(target: Target) -> None:
    """Errors: RunError (exit 2) with the command that installs what the target's compiler needs."""
    if find_spec(target.chip.module) is None:
        raise RunError(
            f"the compiler of {target.chip.name} is not installed ({target.chip.module} is missing): "
            f'pip install "moec[{target.chip.extra}]"',
            2,
        )


_AXES = ("data", "fsdp", "expert", "seq", "model")


def _checked(target: Target) -> Target:
    chip = target.chip
    if chip.platform != "tpu" and target.slices != 1:
        raise RunError("only TPUs come in slices: leave --slices out and count all the devices in --target", 2)
    if chip.platform != "tpu" and len(target.shape) != 1:
        raise RunError(f"{chip.name} has no topology: write --target {chip.name}:{target.devices}", 2)
    if chip.platform == "gpu" and target.devices > chip.host_devices and target.devices % chip.host_devices:
        raise RunError(f"{chip.name} comes {chip.host_devices} to a host, and {target.devices} is no multiple of it", 2)
    if chip.platform == "tpu" and target.slices < 1:
        raise RunError(f"{target.slices} slices are none", 2)
    return target


def _example(chip: Chip) -> str:
    three = ("tpu_v4", "tpu_v5p", "tpu_7x")
    return "8" if chip.platform != "tpu" else "4x4x4" if chip.name in three else "4x4"
