"""A run that needs more memory than there is ends with the plan's numbers, three ways out, an exit code of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P

from moec.runtime import loop
from moec.runtime.initializer import Initializer
from moec.runtime.main import run_command
from moec.runtime.out_of_memory import OUT_OF_MEMORY_EXIT_CODE, is_out_of_memory, memory_in_words, ways_out
from moec.runtime.program import Program
from moec.runtime.proof.expectation import Expectation, read_expectation

GOLDEN = Path(__file__).parents[3] / "golden"

ON_TPU = """RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 21.95G of \
15.48G hbm. Exceeded hbm capacity by 6.47G.

Total hbm usage >= 22.47G:
    reserved        530.00M
"""
ON_GPU = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4770354232 bytes."


def planned_on(folder: Path, run: str, **memory: int) -> Expectation:
    """The plan of a golden run with other numbers of bytes, as plan.json in `folder`."""
    plan = json.loads((GOLDEN / run / "plan.json").read_text())
    plan["memory"] |= {f"{name}_bytes_per_device": count for name, count in memory.items()}
    (folder / "plan.json").write_text(json.dumps(plan))
    planned = read_expectation(folder)
    assert planned is not None
    return planned


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: object) -> int:
        raise error

    monkeypatch.setattr(loop, "train", fail)


def test_a_model_that_no_machine_holds_is_refused_with_three_ways_out(
    tiny: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failure is a real one of XLA."""

    def huge(init: Initializer) -> object:
        model = tiny.model(init)
        model.w_huge = init.normal((1 << 20, 1 << 20), P(None, None), std=0.2)
        return model

    planned_on(tmp_path, "laptop/with_moe")
    status = run_command(replace(tiny, model=huge), ["train", "--steps", "1", "--out", str(tmp_path)])
    said = capfd.readouterr().err
    assert status == OUT_OF_MEMORY_EXIT_CODE
    assert said.startswith("error: out of memory: Out of memory allocating ")
    assert "the plan: each device needs 365.48 MB: params 10.57 MB, gradients 10.57 MB" in said
    assert "1. run.batch.micro = 128: so many of a step's 512 tokens at a time, now 256" in said
    assert "2. run.remat.policy = full" in said
    assert "3. " in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        (ON_TPU, "XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 21.95G of 15.48G hbm"),
        (ON_GPU, "Out of memory while trying to allocate 4.77 GB."),
    ],
)
def test_what_chips_say_is_told_in_the_words_of_the_compiler(
    text: str,
    first_line: str,
    tiny: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(monkeypatch, jax.errors.JaxRuntimeError(text))
    assert run_command(tiny, ["train", "--out", str(tmp_path)]) == OUT_OF_MEMORY_EXIT_CODE
    said = capsys.readouterr().err
    assert f"out of memory: {first_line}" in said
    assert "there is no plan.json beside the program" in said


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("INTERNAL: a fault of the compiler"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem. Used 32M of 16M vmem"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 300000"),
    ],
)
def test_other_failures_of_the_compiler_keep_their_traceback(
    error: Exception, tiny: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(jax.errors.JaxRuntimeError, match=str(error)[:20]):
        run_command(tiny, ["train", "--out", str(tmp_path)])


def test_the_host_can_lack_memory_too() -> None:
    assert is_out_of_memory(MemoryError("Unable to allocate 3.2 TiB for an array"))
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        jnp.zeros((1 << 21, 1 << 20)).block_until_ready()
    assert is_out_of_memory(caught.value)


def test_what_weighs_most_is_mended_first(tiny: Program, tmp_path: Path) -> None:
    chips = replace(tiny, mesh=replace(tiny.mesh, hardware="h100", data=4, fsdp=2))
    weights = planned_on(tmp_path, "laptop/with_moe", params=10**10, activations=10**9, hbm=8 * 10**10)
    first, second, *_ = ways_out(chips, weights)
    assert first.startswith("mesh.axes.fsdp = 8, mesh.axes.data = 1: ")
    assert second.startswith("run.remat.policy = full")
    assert "of the 80.00 GB that it has" in memory_in_words(weights)
    here = planned_on(tmp_path, "laptop/with_moe", params=10**9, optimizer=2 * 10**9)
    assert next(ways_out(tiny, here)).startswith("run.optimizer.kind = lion")
    activations = planned_on(tmp_path, "laptop/with_moe", activations=10**11)
    assert next(ways_out(chips, activations)).startswith("run.remat.policy = full")
    assert next(ways_out(replace(chips, mesh=tiny.mesh), activations)).startswith("run.batch.micro = 128")


def test_there_are_always_three_ways_out(tiny: Program) -> None:
    single = replace(tiny, training=replace(tiny.training, micro_sequences=1))
    assert len(list(ways_out(single, None))) >= 3
