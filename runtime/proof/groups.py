"""Over which mesh axes a collective goes: from the groups of devices in the compiler's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

Groups = tuple[tuple[int, ...], ...]
"""Devices by their place in the mesh, row by row, that exchange with each other."""

_IOTA = re.compile(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_LISTS = re.compile(r"(?:replica_groups|source_target_pairs)=\{((?:\{[\d,]*\},?)*)\}")
_NAMED = re.compile(r"replica_groups=@?mesh(?:_\d+)?\[([^\]]*)\](?:,\s*device_ids=\(([^)]*\)?)\))?\s*\{([^}]*)\}")
_ORDER = re.compile(r"\[([\d,]+)\](?:T\(([\d,]+)\))?")
_AXIS = re.compile(r"'([^']+)'(?::\((\d+)\)(\d+))?")


@dataclass(frozen=True, slots=True)
class Extent:
    """The mesh axes over which devices exchange, outermost first, and how many are in a group.

    `whole` is False where a group has only a part of these axes' devices.
    """

    axes: tuple[str, ...]
    size: int
    whole: bool

    @property
    def name(self) -> str:
        """The axes joined with +; "" for a group of one."""
        return "+".join(self.axes)


PART = "part of "
"""Before the name of an extent that is not whole."""


def axes_of(name: str) -> frozenset[str]:
    """The axes of an extent's name, whole or a part."""
    return frozenset(name.removeprefix(PART).split("+"))


def extent_of(attributes: str, axes: Mapping[str, int]) -> Extent:
    """The extent that the text of an instruction's attributes says, on a mesh with these axis sizes.

    No groups in the text stand for all devices.
    """
    if "source_target_pairs" in attributes:
        return _extent_of_pairs(_listed(attributes), axes)
    return extent_of_groups(read_groups(attributes) or (tuple(range(prod(axes.values()))),), axes)


def extent_of_groups(groups: Groups, axes: Mapping[str, int]) -> Extent:
    """The extent of such groups on a mesh with these axis sizes."""
    coordinates = [[_place(device, axes) for device in group] for group in groups]
    varying = tuple(
        axis
        for index, axis in enumerate(axes)
        if any(len({place[index] for place in group}) > 1 for group in coordinates)
    )
    size = max(len(group) for group in groups)
    return Extent(varying, size, size == prod(axes[axis] for axis in varying))


def read_groups(attributes: str) -> Groups:
    """The groups in any of the forms that XLA writes: lists, iota, or axes of a mesh; () where there is none.

    Source: xla/hlo/ir/tile_assignment.h (iota: an arange reshaped, transposed, reshaped) and
    xla/hlo/ir/mesh_and_axis.h.
    """
    named = _NAMED.search(attributes)
    if named:
        groups = _of_axes(named.group(1), named.group(3))
        return _renamed(groups, named.group(2)) if named.group(2) else groups
    iota = _IOTA.search(attributes)
    if iota:
        return _of_iota(*iota.groups())
    return _listed(attributes)


def _listed(attributes: str) -> Groups:
    found = _LISTS.search(attributes)
    groups = re.findall(r"\{([\d,]*)\}", found.group(1)) if found else []
    return tuple(tuple(int(device) for device in group.split(",")) for group in groups if group)


def _of_iota(count: str, size: str, dims: str, order: str | None) -> Groups:
    flat = _ordered(dims, order)
    width = int(size)
    return tuple(tuple(flat[start : start + width]) for start in range(0, int(count) * width, width))


def _ordered(dims: str, order: str | None) -> list[int]:
    """The numbers 0, 1, … as an iota of these dims, transposed, has them."""
    shape = [int(dim) for dim in dims.split(",")]
    return _transposed(shape, [int(axis) for axis in order.split(",")] if order else list(range(len(shape))))


def _renamed(groups: Groups, device_ids: str) -> Groups:
    """The groups of a mesh whose places hold other devices than 0, 1, …: an iota, or a list of them."""
    iota = _ORDER.search(device_ids)
    devices = _ordered(*iota.groups()) if iota else [int(device) for device in device_ids.split(",")]
    return tuple(tuple(devices[place] for place in group) for group in groups)


def _of_axes(mesh: str, chosen: str) -> Groups:
    """One group per combination of the other axes; an axis may be split, `'x':(2)4` is its part of size 4 after 2."""
    sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", mesh)}
    wanted = {name: (int(before), int(size)) if size else None for name, before, size in _AXIS.findall(chosen)}
    shape, kept = [], []
    for name, size in sizes.items():
        part = wanted.get(name, ())
        split = (1, size, 1) if part is None else (size, 1, 1) if part == () else (part[0], part[1], size // prod(part))
        kept += [len(shape) + 1] if part != () else []
        shape += split
    others = [dim for dim in range(len(shape)) if dim not in kept]
    flat = _transposed(shape, [*others, *kept])
    width = prod(shape[dim] for dim in kept)
    return tuple(tuple(flat[start : start + width]) for start in range(0, len(flat), width))


def _transposed(shape: list[int], order: list[int]) -> list[int]:
    """The numbers 0, 1, … in `shape`, read after its dims are put in `order`."""
    strides = [prod(shape[dim + 1 :]) for dim in range(len(shape))]
    ranges = [range(shape[dim]) for dim in order]
    steps = [strides[dim] for dim in order]
    return [sum(index * step for index, step in zip(place, steps, strict=True)) for place in product(*ranges)]


def _extent_of_pairs(pairs: Groups, axes: Mapping[str, int]) -> Extent:
    places = [(_place(source, axes), _place(target, axes)) for source, target in pairs if source != target]
    varying = tuple(
        axis for index, axis in enumerate(axes) if any(source[index] != target[index] for source, target in places)
    )
    return Extent(varying, 2 if places else 1, True)


def _place(device: int, axes: Mapping[str, int]) -> tuple[int, ...]:
    coordinates = []
    for size in reversed(axes.values()):
        coordinates.append(device % size)
        device //= size
    return tuple(reversed(coordinates))
