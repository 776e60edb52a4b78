"""The proof counts what the compiler put into the program."""

from __future__ import annotations

from collections.abc import Callable

from moec.runtime.program import Program
from moec.runtime.prove import Proof, count_collectives, prove

HLO = """
  %all-to-all.3 = f32[8,4]{1,0} all-to-all(f32[8,4]{1,0} %p), replica_groups={{0,1}}
  %ag = (f32[4]{0}, f32[8]{0}) all-gather-start(f32[4]{0} %p2), dimensions={0}
  %agd = f32[8]{0} all-gather-done((f32[4]{0}, f32[8]{0}) %ag)
  %ar.1 = (f32[], f32[2]{0}) all-reduce(f32[] %a, f32[2]{0} %b), to_apply=%add
  %ar.2 = f32[] all-reduce(f32[] %c), to_apply=%add
  %f = f32[] fusion(f32[] %all-reduce.9), metadata={op_name="all-reduce(x)"}
"""


def test_each_collective_counts_once_and_mentions_do_not() -> None:
    assert count_collectives(HLO) == (("all-gather", 1), ("all-reduce", 2), ("all-to-all", 1))


def test_a_sharded_step_has_collectives_and_smaller_arguments(tiny: Program, on_mesh: Callable[..., Program]) -> None:
    alone, sharded = prove(tiny), prove(on_mesh(fsdp=4, expert=2))
    assert alone.collectives == ()
    assert {"all-to-all", "all-reduce"} <= {name for name, _ in sharded.collectives}
    assert sharded.argument_bytes < alone.argument_bytes / 4
    assert "collectives  none" in alone.describe()


def test_memory_counts_what_is_reused_once() -> None:
    proof = Proof("cpu", 1, 1.0, 100, 90, 80, 7, ())
    assert proof.peak_bytes == 117
