"""Groups of devices in every form that XLA writes become mesh axes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from moec.runtime.proof.groups import extent_of, read_groups

MESH = {"data": 2, "fsdp": 2, "expert": 2, "seq": 1, "model": 1}


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("replica_groups={{0,1},{2,3},{4,5},{6,7}}, x", "expert"),
        ("replica_groups={{0,2},{1,3},{4,6},{5,7}}", "fsdp"),
        ("replica_groups={{0,4},{1,5},{2,6},{3,7}}", "data"),
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", "fsdp+expert"),
        ("replica_groups={{0,1,4,5},{2,3,6,7}}", "data+expert"),
        ("replica_groups=[4,2]<=[8], to_apply=%add", "expert"),
        ("replica_groups=[4,2]<=[2,2,2]T(0,2,1)", "fsdp"),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", "data"),
        ("replica_groups=[1,8]<=[8]", "data+fsdp+expert"),
        ("replica_groups=mesh['data'=2,'fsdp'=2,'expert'=2,'seq'=1,'model'=1] {'fsdp'}, dimensions={0}", "fsdp"),
        ("replica_groups=mesh['data'=2,'fsdp'=2,'expert'=2,'seq'=1,'model'=1] {'data','expert'}", "data+expert"),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=2,'axis_2'=2] {'axis_1'}", "fsdp"),
        ("replica_groups=mesh['axis_0'=1,'axis_1'=2,'axis_2'=4], device_ids=([4,2]T(1,0)) {'axis_1'}", "expert"),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4], device_ids=([4,2]T(1,0)) {'axis_1'}", "data+fsdp"),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4], device_ids=(0,2,4,6,1,3,5,7) {'axis_0'}", "expert"),
        ("replica_groups=mesh['axis_0'=8] {'axis_0'}", "data+fsdp+expert"),
        ("replica_groups=mesh['axis_0'=8] {'axis_0':(2)2}", "fsdp"),
        ("channel_id=3, source_target_pairs={{0,1},{1,0},{2,3},{3,2}}", "expert"),
        ("channel_id=3, source_target_pairs={{0,4},{4,0}}", "data"),
        ("channel_id=3", "data+fsdp+expert"),
    ],
)
def test_groups_name_their_axes(text: str, axes: str) -> None:
    extent = extent_of(text, MESH)
    assert extent.name == axes
    assert extent.whole


def test_a_group_of_one_has_no_axis() -> None:
    extent = extent_of("replica_groups=mesh['data'=2,'fsdp'=2,'expert'=2,'seq'=1,'model'=1] {'model'}", MESH)
    assert (extent.name, extent.size) == ("", 1)


def test_a_part_of_an_axis_is_told_from_the_whole() -> None:
    extent = extent_of("replica_groups={{0,1},{2,3},{4,5},{6,7}}", {"data": 1, "fsdp": 8, "expert": 1})
    assert (extent.name, extent.size, extent.whole) == ("fsdp", 2, False)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_iota_is_an_arange_reshaped_and_transposed(order: tuple[int, ...]) -> None:
    expected = np.arange(24).reshape(2, 3, 4).transpose(order).reshape(6, 4)
    text = f"replica_groups=[6,4]<=[2,3,4]T({','.join(map(str, order))})"
    assert read_groups(text) == tuple(map(tuple, expected.tolist()))
