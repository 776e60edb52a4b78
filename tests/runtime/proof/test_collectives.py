"""Collectives are found once each, with axis, repetitions and bytes, however a compiler writes them."""

from __future__ import annotations

import pytest

from moec.runtime.proof.collectives import find_collectives, sent_bytes
from moec.runtime.proof.hlo import read_module
from moec.runtime.proof.loops import count_executions
from moec.runtime.proof.slices import slice_mesh

MESH = {"data": 2, "fsdp": 2, "expert": 2, "seq": 1, "model": 1}


def found(text: str, slices: int = 1) -> list[tuple[str, str, int, int]]:
    """(op, axis, times, bytes) of every collective of a program on MESH."""
    module = read_module(text)
    rows = find_collectives(module, count_executions(module), slice_mesh(MESH, slices))
    return sorted((row.op, row.axis, row.times, row.bytes) for row in rows)


def test_a_collective_in_a_loop_counts_as_often_as_the_loop_runs(loop) -> None:
    assert found(loop()) == [("all-to-all", "expert", 6, 64)]


def test_asynchronous_pairs_count_once_and_groups_of_one_not_at_all(sample) -> None:
    assert found(sample("gpu")) == [
        ("all-gather", "fsdp", 1, 256),
        ("all-reduce", "data+fsdp+expert", 1, 904),
        ("reduce-scatter", "fsdp", 1, 128),
    ]


def test_a_tpu_s_fused_scatter_is_one_and_its_chained_gather_counts_once(sample) -> None:
    assert found(sample("tpu")) == [("all-gather", "fsdp", 1, 64), ("reduce-scatter", "fsdp", 1, 1024)]


SENT_BETWEEN_SLICES = """\
HloModule jit_step

ENTRY %main (p.1: f32[8,128]) -> f32[] {
  %p.1 = f32[8,128]{1,0:T(8,128)} parameter(0)
  %after-all = token[] after-all(), frontend_attributes={MegascaleRendezvousKeyName="psum.1_0"}
  %all-gather.1 = f32[16,128]{1,0} all-gather(%p.1), channel_id=1, replica_groups={{0,2},{1,3}}, dimensions={0}
  %send = (f32[8,128]{1,0:T(8,128)}, u32[]{:S(2)}, token[]) send(%p.1, %after-all), channel_id=3, \
is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",\
_xla_host_transfer_rendezvous="psum.1_0",_xla_megascale_reduce_operation="SUM",_xla_megascale_target="TARGET",\
_xla_megascale_transfer_type="TYPE"}
  %recv = (f32[8,128]{1,0:T(8,128)}, u32[]{:S(2)}, token[]) recv(%after-all), channel_id=2, is_host_transfer=true
  %recv-done = (f32[8,128]{1,0:T(8,128)}, token[]) recv-done(%recv), channel_id=2, is_host_transfer=true
  ROOT %zero = f32[] constant(0)
}
"""
"""As libtpu writes what goes between slices; replica groups are those of one slice."""


@pytest.mark.parametrize(
    ("kind", "op", "sent"),
    [
        ("ALL_REDUCE", "all-reduce", 4096),
        ("REDUCE_SCATTER", "reduce-scatter", 2048),
        ("ALL_GATHER", "all-gather", 4096),
        ("ALL_TO_ALL", "all-to-all", 2048),
        ("ONE_TO_ONE", "collective-permute", 4096),
    ],
)
def test_what_goes_between_slices_is_over_the_outermost_axis(kind: str, op: str, sent: int) -> None:
    text = SENT_BETWEEN_SLICES.replace("TYPE", kind).replace("TARGET", "{1,2}x{0:3}")
    assert found(text, slices=2) == sorted([("all-gather", "fsdp", 1, 4096), (op, "data", 1, sent)])


@pytest.mark.parametrize(
    ("slices", "axis"),
    [("{1:4}", "data+fsdp"), ("{1,2,3,4}", "data+fsdp"), ("{1,2}", "fsdp"), ("{3,4}", "fsdp"), ("{1,3}", "data")],
)
def test_groups_of_slices_tell_the_axes_that_they_go_over(slices: str, axis: str) -> None:
    text = SENT_BETWEEN_SLICES.replace("TYPE", "ALL_REDUCE").replace("TARGET", f"{slices}x{{0:1}}")
    rows = found(text.replace("{{0,2},{1,3}}", "{{0,1}}"), slices=4)
    assert [row[1] for row in rows] == ["expert", axis]


@pytest.mark.parametrize(
    ("op", "sent"),
    [("all-gather", 75), ("reduce-scatter", 75), ("all-to-all", 75), ("all-reduce", 150), ("collective-permute", 100)],
)
def test_each_operation_sends_what_a_ring_of_four_sends(op: str, sent: int) -> None:
    assert sent_bytes(op, 100, 4) == sent
