"""A mesh -> how its devices are divided among machines."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

from moec.cli.command import Failure

if TYPE_CHECKING:
    from moec.compiler.typed import MeshSpec

DEVICES_PER_MACHINE = {"gb200": 4}
"""Where the catalogue's node is several machines. Source: the vendor's data sheet of GB200 NVL72, 18 trays of 4."""

CHIPS_PER_TPU_HOST = 4
CHIPS_OF_ONE_HOST = 8
SMALL_HOSTS = ("tpu_v5e", "tpu_v6e")
"""TPUs of which one machine holds a slice of up to 8 chips, and of larger slices 4. Source: Google Cloud documentation,
plan TPUs in GKE: machine types ct5lp-hightpu and ct6e-standard."""


class Division(NamedTuple):
    """`nodes` machines, each with `devices_per_node` devices of the mesh. With TPUs the machines of all slices."""

    nodes: int
    devices_per_node: int


def divide(mesh: MeshSpec, nodes: int | None = None, per_node: int | None = None) -> Division:
    """The machines for `mesh`: as many as were asked for, else as few as the hardware's own size of a machine allows.

    Failure: the devices cannot be shared out evenly, or a TPU's machines were asked for.
    """
    if mesh.hardware.platform == "tpu":
        if nodes is not None or per_node is not None:
            raise Failure("the topology of a TPU slice says how many machines it has; leave out --nodes and --per-node")
        return _tpu_hosts(mesh)
    if nodes is not None:
        return _over_nodes(mesh, nodes, per_node)
    size = per_node or _machine_size(mesh)
    if mesh.devices <= size and per_node is None:
        return Division(1, mesh.devices)
    if mesh.devices % size:
        raise Failure(
            f"{mesh.devices} x {mesh.hardware.name} do not fill machines of {size}: "
            f"give the mesh a multiple of {size}, or --per-node {_largest_divisor(mesh.devices, size)}"
        )
    return Division(mesh.devices // size, size)


def _over_nodes(mesh: MeshSpec, nodes: int, per_node: int | None) -> Division:
    if mesh.devices % nodes:
        raise Failure(
            f"{mesh.devices} x {mesh.hardware.name} cannot be shared out over {nodes} machines; "
            f"--nodes {_largest_divisor(mesh.devices, nodes)} can"
        )
    each = mesh.devices // nodes
    if per_node not in (None, each):
        raise Failure(f"--nodes {nodes} of --per-node {per_node} are not the mesh's {mesh.devices} devices")
    return Division(nodes, each)


def _machine_size(mesh: MeshSpec) -> int:
    """Devices in one machine; a machine has as many virtual devices of its CPU as a program asks for."""
    chip = mesh.hardware
    if chip.platform == "cpu":
        return mesh.devices
    return DEVICES_PER_MACHINE.get(chip.name, chip.chips_per_node * chip.devices_per_chip)


def _tpu_hosts(mesh: MeshSpec) -> Division:
    assert mesh.topology is not None, "a TPU mesh has a topology"
    chips = prod(mesh.topology)
    small = mesh.hardware.name in SMALL_HOSTS and chips <= CHIPS_OF_ONE_HOST
    chips_per_host = chips if small else min(chips, CHIPS_PER_TPU_HOST)
    return Division(chips // chips_per_host * mesh.slices, chips_per_host * mesh.hardware.devices_per_chip)


def _largest_divisor(number: int, limit: int) -> int:
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)
