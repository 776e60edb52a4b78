"""mesh block -> MeshSpec: the chip from the catalogue, the devices from the topology or the other way round."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from posixpath import dirname, isabs, join, normpath

from moec.compiler.resolve_block import Values, resolve_block
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import MESH_AXES, Auto, MeshSpec
from moec.spec.codes import types as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.disk import project_root, read_source
from moec.spec.hardware import Hardware
from moec.spec.hardware.catalogue import hardware, parse_hardware
from moec.spec.source import Span
from moec.spec.values import Word


def resolve_mesh(scope: Scope, place: Place) -> MeshSpec | None:
    """The mesh, None where something is wrong with it.

    Errors: MOE2118, MOE2119, MOE2122, and those of `resolve_block`.
    """
    own = resolve_block(scope, place)
    axes = resolve_block(scope, place.inside("axes"))
    if own is None or axes is None:
        return None
    chip = _chip(own, scope.spec.file)
    if isinstance(chip, Diagnostic):
        scope.diagnostics.append(chip)
        return None
    counted = _count_devices(own, chip)
    if isinstance(counted, Diagnostic):
        scope.diagnostics.append(counted)
        return None
    devices, topology = counted
    return MeshSpec(
        name=place.root.name,
        doc=place.root.doc,
        hardware=chip,
        devices=devices,
        topology=topology,
        slices=own.integer("slices"),
        axes={axis: _axis(axes, axis) for axis in MESH_AXES},
    )


def _axis(values: Values, axis: str) -> int | Auto:
    return "auto" if values.is_word(axis, "auto") else values.integer(axis)


def _chip(values: Values, main: str) -> Hardware | Diagnostic:
    """The chip of the catalogue, or of the user's own file beside the spec; the path is then its name."""
    name = values.text("hardware")
    if isinstance(values.fields["hardware"], Word):
        return hardware(name)
    span = values.span("hardware")
    path = normpath(join(dirname(span.file), name))
    if isabs(name) or not name.isprintable():
        return codes.bad_hardware_file(span, name, "its path is not a plain relative one")
    source = read_source(path, project_root(main), span)
    if isinstance(source, Diagnostic):
        return codes.bad_hardware_file(span, name, source.message)
    chip = parse_hardware(source.text)
    if not isinstance(chip, Hardware):
        return codes.bad_hardware_file(span, name, chip)
    return replace(chip, name=name)


def _count_devices(values: Values, chip: Hardware) -> tuple[int, tuple[int, ...] | None] | Diagnostic:
    """The devices over all slices, and the topology of one slice, None where the hardware is not sold in shapes."""
    slices = values.integer("slices")
    if "topology" not in values:
        return _from_devices(values, chip, slices)
    topology = values.grid("topology")
    devices = prod(topology) * chip.devices_per_chip * slices
    if "devices" in values and values.integer("devices") != devices:
        return _conflict(values, chip, topology, devices)
    return devices, topology


def _from_devices(values: Values, chip: Hardware, slices: int) -> tuple[int, tuple[int, ...] | None] | Diagnostic:
    devices = values.integer("devices")
    if not chip.topologies:
        return devices, None
    per_chip = chip.devices_per_chip * slices
    fitting = [shape for shape in chip.topologies if prod(shape) * per_chip == devices]
    if not fitting:
        return _no_topology(values.span("devices"), chip, devices, per_chip)
    return devices, min(fitting, key=lambda shape: (max(shape) - min(shape), shape))


def _no_topology(span: Span, chip: Hardware, devices: int, per_chip: int) -> Diagnostic:
    sizes = sorted({prod(shape) * per_chip for shape in chip.topologies})
    below = [size for size in sizes if size < devices][-1:]
    above = [size for size in sizes if size > devices][:1]
    return codes.no_such_topology(span, chip.name, devices, (*below, *above))


def _conflict(values: Values, chip: Hardware, topology: tuple[int, ...], devices: int) -> Diagnostic:
    factors = [*topology, *((chip.devices_per_chip,) if chip.devices_per_chip > 1 else ())]
    slices = values.integer("slices")
    formula = " * ".join(str(factor) for factor in (*factors, *((slices,) if slices > 1 else ())))
    return codes.devices_conflict(
        values.span("devices"), values.integer("devices"), formula, devices, values.span("topology")
    )
