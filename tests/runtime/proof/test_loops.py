"""Loops count as often as they run."""

from __future__ import annotations

import pytest

from moec.runtime.proof.hlo import read_module
from moec.runtime.proof.loops import count_executions


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ({}, 6),
        ({"step": 2}, 3),
        ({"step": 4}, 2),
        ({"first": 1}, 5),
        ({"first": 2, "step": 2}, 2),
        ({"known": 9}, 9),
    ],
    ids=str,
)
def test_a_body_runs_as_often_as_its_counter_allows(loop, how: dict[str, int], times: int) -> None:
    executions = count_executions(read_module(loop(**how)))
    assert executions.times["main"] == 1
    assert executions.times["body"] == times
    assert executions.in_loop == {"body", "condition"}
    assert executions.unknown == ()


def test_a_bound_that_is_no_constant_is_told_and_counts_once(loop) -> None:
    text = loop().replace("%bound = s32[] constant(6)", "%bound = s32[] get-tuple-element(%state), index=2")
    executions = count_executions(read_module(text))
    assert executions.unknown == ("loop",)
    assert executions.times["body"] == 1


@pytest.mark.parametrize(
    ("chooser", "branches"),
    [
        ("pred[]", "true_computation=%usual, false_computation=%rare"),
        ("s32[]", "branch_computations={%usual, %rare, %rare}"),
    ],
)
def test_of_a_choice_what_is_usual_runs(chooser: str, branches: str) -> None:
    text = f"""HloModule step

%usual (x: f32[4]) -> f32[4] {{
  ROOT %x = f32[4]{{0}} parameter(0)
}}

%rare (y: f32[4]) -> f32[4] {{
  ROOT %y = f32[4]{{0}} parameter(0)
}}

ENTRY %main (choice: {chooser}, z: f32[4]) -> f32[4] {{
  %choice = {chooser} parameter(0)
  %z = f32[4]{{0}} parameter(1)
  ROOT %chosen = f32[4]{{0}} conditional(%choice, %z, %z), {branches}
}}
"""
    times = count_executions(read_module(text)).times
    assert times["usual"] == 1
    assert "rare" not in times
