"""A compiled program's warnings: weights gathered too early, tokens times experts, padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from moec.runtime.proof.collectives import Collective
from moec.runtime.proof.expectation import Expectation, ExpectedTensor
from moec.runtime.proof.hlo import Array, read_module
from moec.runtime.proof.loops import count_executions
from moec.runtime.proof.signs import padding, signs_of

BUFFER = ExpectedTensor("expert_buffer_RECD", (4, 8, 16, 32), (("data",), ("expert",), (), ()), ())
PLAN = Expectation(
    axes={"data": 2, "fsdp": 2, "expert": 2, "seq": 1, "model": 1},
    topology=None,
    slices=1,
    memory_bytes={},
    hbm_bytes=0,
    remat="none",
    executed_flops=1.0,
    ideal_flops=1.0,
    step_seconds=0.0,
    collectives=(),
    tensors=(
        ExpectedTensor("Experts.w_up", (8, 32, 64), (("expert",), ("fsdp",), ()), (2, 4, 6)),
        ExpectedTensor("Model.w_embed", (1000, 32), ((), ("fsdp",)), ()),
    ),
    activations=(BUFFER,),
    batch_bytes=0,
    n_experts=8,
    scan=True,
    repeats=(3, 1),
)
PROGRAM = """\
HloModule jit_step

ENTRY main (p: f32[4,4]) -> f32[4,4] {{
  %p = f32[4,4]{{1,0}} parameter(0)
  %large = {type} fusion(%p), kind=kLoop, calls=%none, metadata={{op_name="jit(step)/experts/ragged_dot"}}
  ROOT %out = f32[4,4]{{1,0}} fusion(%large), kind=kLoop, calls=%none
}}
"""


def gather(shape: tuple[int, ...], *, in_loop: bool) -> Collective:
    return Collective("all-gather", "fsdp", 2, True, 1, 100, in_loop, (Array("bf16", shape),), "state.params['w_up']")


@pytest.mark.parametrize(
    ("found", "warned"),
    [
        (gather((3, 8, 32, 64), in_loop=False), True),
        (gather((8, 32, 64), in_loop=True), False),
        (gather((1000, 32), in_loop=False), False),
    ],
    ids=["all layers at once", "one layer in the loop", "a table"],
)
def test_weights_of_all_layers_gathered_before_the_loop_are_told(
    loop: Callable[..., str], found: Collective, warned: bool
) -> None:
    module = read_module(loop())
    told = signs_of(module, count_executions(module), (found,), PLAN)
    assert len(told) == warned
    assert all("state.params['w_up']" in sentence for sentence in told)


@pytest.mark.parametrize(
    ("kind", "warned"),
    [("f32[512,8,128]{2,1,0}", True), ("f32[8,64,32]{2,1,0}", False), ("f32[512,3,8,128]{3,2,1,0}", False)],
    ids=["tokens times experts", "slots", "stacked weights"],
)
def test_an_array_of_tokens_times_experts_is_told(kind: str, warned: bool) -> None:
    module = read_module(PROGRAM.format(type=kind))
    told = signs_of(module, count_executions(module), (), PLAN)
    assert len(told) == warned
    assert all("ragged_dot" in sentence and "2.10 MB" in sentence for sentence in told)


def test_padding_names_the_array_and_the_axes() -> None:
    assert padding(PLAN) == ()
    uneven = replace(PLAN, activations=(replace(BUFFER, shape=(3, 8, 16, 32)),))
    assert padding(uneven) == ("expert_buffer_RECD: 3 over data (2) is padded to 4",)


def test_without_a_plan_only_loops_are_told_of(loop: Callable[..., str]) -> None:
    text = loop().replace("%bound = s32[] constant(6)", "%bound = s32[] get-tuple-element(%state), index=2")
    module = read_module(text)
    (told,) = signs_of(module, count_executions(module), (), None)
    assert "1 loops have a length" in told
