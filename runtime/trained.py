"""What can be done with the newest checkpoint of a run: measure it, let it write."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from moec.runtime.data.text import tokenizer_of
from moec.runtime.evaluate import Evaluator
from moec.runtime.failure import RunError
from moec.runtime.generate import Sampling, generate, generation_mesh
from moec.runtime.manifest import Position
from moec.runtime.mesh import MeshShape, make_mesh
from moec.runtime.processes import is_first_process
from moec.runtime.program import Program
from moec.runtime.recovery import recover
from moec.runtime.run_directory import RunDirectory
from moec.runtime.session import data_of
from moec.runtime.state import Layout, Weights, lay_out


def evaluate_newest(program: Program, directory: Path, tokens: int) -> str:
    """The held-out loss of the newest checkpoint, in one line."""
    data = data_of(program)
    position, layout, weights = newest_weights(program, directory, program.mesh)
    evaluator = Evaluator(program, data, layout, RunDirectory(directory).tokens)
    described = evaluator.describe(evaluator.held_out(weights, tokens), evaluator.unigram(tokens))
    return f"step {position.step:,}: {described}"


def continue_text(program: Program, directory: Path, prompt: str, sampling: Sampling) -> str:
    """The prompt and what the newest checkpoint makes of it; without a prompt, the beginning of a document."""
    tokenizer = tokenizer_of(data_of(program))
    _, layout, weights = newest_weights(program, directory, generation_mesh(program.mesh))
    start = np.array([tokenizer.end_of_document], np.int32)
    given = tokenizer.encode(prompt)
    ids = generate(layout, weights, np.concatenate([start, given]), sampling)
    return tokenizer.decode(np.concatenate([given, ids]))


def newest_weights(program: Program, directory: Path, mesh: MeshShape) -> tuple[Position, Layout, Weights]:
    """The weights of the newest good checkpoint on `mesh`, without the optimizer's state; nothing is written.

    Errors: RunError where there is none, or where it is of another program.
    """
    layout = lay_out(program, make_mesh(mesh))
    found = recover(RunDirectory(directory), (program.identity,), layout.abstract.weights, _warn)
    if found is None:
        raise RunError(f"there is no checkpoint in {directory}: train first, or give its folder with --out", 2)
    return found.position, layout, found.tree


def _warn(step: int, reason: str) -> None:
    if is_first_process():
        print(f"warning: the checkpoint of step {step} is damaged: {reason}; looking at older ones", file=sys.stderr)
