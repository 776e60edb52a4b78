"""The tiny program of this folder, the text that it learns, and training it in this process."""

from __future__ import annotations

import json
import random
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from moec.runtime.loop import TrainOptions, train
from moec.runtime.mesh import MeshShape
from moec.runtime.program import Program

sys.path.insert(0, str(Path(__file__).parent))  # for own_process.py

PROGRAM_FILE = Path(__file__).with_name("tiny_program.py")
TIME_FIELDS = ("seconds", "step_seconds", "tokens_per_second")

Trainer = Callable[..., int]


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lets the tests of this folder share what XLA compiled: the same tiny step is needed by most of them."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module", autouse=True)
def compiled_in_haste(quick_compilation: None) -> None:
    """All tests of this folder do with quick compilation."""


def write_text(folder: Path) -> None:
    """60 documents of 40 to 400 made-up words."""
    draw = random.Random(5)
    words = ["".join(draw.choices("abcdefgh", k=draw.randrange(2, 6))) for _ in range(50)]
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.txt").write_text(" ".join(draw.choices(words, k=draw.randrange(40, 400))))


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has `text/`, where the tiny program finds its documents."""
    folder = tmp_path_factory.mktemp("corpus")
    write_text(folder / "text")
    return folder


@pytest.fixture(scope="session")
def tiny(text_folder: Path) -> Program:
    """The tiny program on one device, reading its text from wherever the test runs."""
    program: Program = runpy.run_path(str(PROGRAM_FILE))["PROGRAM"]
    assert program.data is not None
    return replace(program, data=replace(program.data, sources=(str(text_folder / "text" / "*.txt"),)))


@pytest.fixture(scope="session")
def on_mesh(tiny: Program) -> Callable[..., Program]:
    """The tiny program on a mesh of other axis sizes: `on_mesh(fsdp=8)`."""

    def make(**axes: int) -> Program:
        sizes = {"data": 1, "fsdp": 1, "expert": 1, "seq": 1, "model": 1} | axes
        return replace(tiny, mesh=MeshShape(hardware="cpu", **sizes))

    return make


@pytest.fixture(scope="session")
def train_in(quickly: Callable[[], AbstractContextManager[None]]) -> Trainer:
    """Trains a program in a folder and gives the exit code."""

    def run(program: Program, folder: Path, steps: int, resume: Any = "auto") -> int:
        with quickly():
            return train(program, TrainOptions(directory=folder, steps=steps, resume=resume))

    return run


@pytest.fixture(scope="session")
def records() -> Callable[[Path], list[dict[str, Any]]]:
    """The records of a JSON-lines file."""
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def without_times() -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Records without what the clock wrote into them: the rest must repeat bit by bit."""
    return lambda found: [{k: v for k, v in record.items() if k not in TIME_FIELDS} for record in found]


@pytest.fixture(scope="session")
def trained(tiny: Program, train_in: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of 6 steps of the tiny program on one device; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_in(tiny, folder, 6) == 0
    return folder
