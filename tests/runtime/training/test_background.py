"""A step that is compiled in the background is the step; what goes wrong there is told where it is wanted."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from moec.runtime import background
from moec.runtime.background import compile_in_background, compiles_on_host
from moec.runtime.loop import TrainOptions, train
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.state import Layout, lay_out
from moec.runtime.train_step import TrainStep, compile_train_step


def test_what_goes_wrong_in_the_background_is_raised_where_the_step_is_wanted(tiny: Program) -> None:
    def objective(model, batch):
        raise ValueError("no such loss")

    compiling = compile_in_background(replace(tiny, objective=objective), lay_out(tiny, make_mesh(tiny.mesh)))
    with pytest.raises(ValueError, match="no such loss"):
        compiling.result()


def test_a_run_compiles_while_its_weights_are_drawn_and_only_if_a_step_is_left(
    tiny: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_in: list[str] = []

    def compile_here(program: Program, layout: Layout) -> TrainStep:
        compiled_in.append(threading.current_thread().name)
        return compile_train_step(program, layout)

    monkeypatch.setattr(background, "compile_train_step", compile_here)
    assert train(tiny, TrainOptions(tmp_path, steps=2)) == 0
    assert [name.split("_")[0] for name in compiled_in] == ["moec-compile"]
    (tmp_path / "result.json").unlink()
    assert train(tiny, TrainOptions(tmp_path, steps=2)) == 0
    assert len(compiled_in) == 1
    assert train(tiny, TrainOptions(tmp_path, steps=3)) == 0
    assert len(compiled_in) == 2


def test_kernels_are_timed_on_a_gpu_that_does_nothing_else(tiny: Program) -> None:
    on_gpu = replace(tiny, mesh=replace(tiny.mesh, hardware="h100"))
    on_tpu = replace(tiny, mesh=replace(tiny.mesh, hardware="tpu_v5p"))
    assert [compiles_on_host(program) for program in (tiny, on_gpu, on_tpu)] == [True, False, True]


def test_steps_on_one_cpu_alone_keep_the_memory_that_they_free(tiny: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    devices = 0
    monkeypatch.setattr(background, "compile_train_step", lambda *_: None)
    monkeypatch.setattr(background, "keep_freed", lambda: kept.append(devices))
    for devices, hardware in ((1, "cpu"), (8, "cpu"), (1, "h100")):
        program = replace(tiny, mesh=replace(tiny.mesh, hardware=hardware, data=devices))
        compile_in_background(program, lay_out(tiny, make_mesh(tiny.mesh))).result()
    assert kept == [1]
