"""Collectives are found once each, with axis, repetitions and bytes, however a compiler writes them."""

from __future__ import annotations

import pytest

from moec.runtime.proof.collectives import find_collectives, sent_bytes
from moec.runtime.proof.hlo import read_module
from moec.runtime.proof.loops import count_executions

MESH = {"data": 2, "fsdp": 2, "expert": 2, "seq": 1, "model": 1}


def found(text: str) -> list[tuple[str, str, int, int]]:
    """(op, axis, times, bytes) of every collective of a program on MESH."""
    module = read_module(text)
    rows = find_collectives(module, count_executions(module), MESH)
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


@pytest.mark.parametrize(
    ("op", "sent"),
    [("all-gather", 75), ("reduce-scatter", 75), ("all-to-all", 75), ("all-reduce", 150), ("collective-permute", 100)],
)
def test_each_operation_sends_what_a_ring_of_four_sends(op: str, sent: int) -> None:
    assert sent_bytes(op, 100, 4) == sent
