"""How the devices of a mesh are divided among machines, and what is said where they cannot be."""

from __future__ import annotations

import pytest

from moec.cli.command import Failure
from moec.cli.launching.division import divide


@pytest.mark.parametrize(
    ("mesh", "nodes", "each"),
    [
        ("hardware = h100, devices = 64", 8, 8),
        ("hardware = h100, devices = 4", 1, 4),
        ("hardware = gb200, devices = 72", 18, 4),
        ("hardware = cpu, devices = 8", 1, 8),
        ("hardware = tpu_v5p, topology = 8x8x8", 128, 4),
        ("hardware = tpu_v5p, topology = 4x4x4, slices = 2", 32, 4),
        ("hardware = tpu_v6e, topology = 2x4", 1, 8),
        ("hardware = tpu_v6e, topology = 4x4", 4, 4),
        ("hardware = tpu_v5e, topology = 1x1", 1, 1),
        ("hardware = tpu_7x, topology = 2x2x2", 2, 8),
    ],
)
def test_machines_are_as_large_as_the_hardware_has_them(make_mesh, mesh: str, nodes: int, each: int) -> None:
    assert divide(make_mesh(mesh)) == (nodes, each)


@pytest.mark.parametrize(
    ("nodes", "per_node", "division"), [(4, None, (4, 4)), (None, 2, (8, 2)), (2, 8, (2, 8)), (None, 16, (1, 16))]
)
def test_other_machines_can_be_asked_for(make_mesh, nodes, per_node, division) -> None:
    assert divide(make_mesh("hardware = h100, devices = 16"), nodes, per_node) == division


@pytest.mark.parametrize(
    ("devices", "nodes", "per_node", "way_out"),
    [
        (12, None, None, "a multiple of 8, or --per-node 6"),
        (16, None, 5, "--per-node 4"),
        (4, None, 8, "--per-node 4"),
        (16, 3, None, "--nodes 2 can"),
        (16, 4, 8, "--nodes 4 of --per-node 8 are not the mesh's 16 devices"),
    ],
)
def test_an_uneven_division_is_refused_with_a_way_out(make_mesh, devices, nodes, per_node, way_out: str) -> None:
    with pytest.raises(Failure) as caught:
        divide(make_mesh(f"hardware = h100, devices = {devices}"), nodes, per_node)
    assert way_out in str(caught.value)


def test_a_slice_of_tpus_has_the_machines_that_it_has(make_mesh) -> None:
    with pytest.raises(Failure, match="leave out --nodes and --per-node"):
        divide(make_mesh("hardware = tpu_v5p, topology = 4x4x4"), nodes=4)
