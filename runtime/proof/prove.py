"""`python program.py prove`: the training step compiled for a target that need not be there, held against the plan.

program ──a process of its own──▶ measured ──plan.json──▶ proof ──▶ text or JSON, proof.json and proof.md beside it
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from moec.runtime.failure import RunError
from moec.runtime.program import Program
from moec.runtime.proof.against_plan import Proof, judge
from moec.runtime.proof.child import Ended, python_program, run_child
from moec.runtime.proof.expectation import read_expectation
from moec.runtime.proof.failure_text import noise_of
from moec.runtime.proof.measured import Measured, from_json
from moec.runtime.proof.report import as_json, as_markdown, as_text
from moec.runtime.proof.signs import replications
from moec.runtime.proof.targets import Target, check_devices, check_installed, own_target, read_target

OK, FAILED, INTERRUPTED = 0, 1, 130
REFUSED = 3
"""The exit code of the child where the compiler, not the child, says no."""

MEASURED, HLO = "measured.json", "step.hlo.txt"


@dataclass(frozen=True, slots=True)
class ProofOptions:
    """`target` "" is the program's own hardware. `save_hlo` is the folder that gets the compiler's text."""

    target: str
    slices: int
    format: str
    save_hlo: Path | None
    timeout_seconds: float
    out: Path


def prove_and_report(program: Program, options: ProofOptions) -> int:
    """Proves `program`, prints the report and writes it to `options.out`. Gives the exit code: 0 proven, 1 not.

    Errors: RunError where the proof could not be made.
    """
    source = program_file(program)
    expectation = read_expectation(source.parent)
    target = choose_target(program, options)
    check_devices(target, program.mesh)
    check_installed(target)
    try:
        measured, refusal = compile_elsewhere(source, target, options)
    except KeyboardInterrupt:
        print("interrupted: the compiler was stopped, nothing is proven", file=sys.stderr)
        return INTERRUPTED
    proof = judge(measured, expectation, target, refusal)
    print(as_json(proof) if options.format == "json" else as_text(proof), end="")
    write_report(proof, options.out)
    return OK if proof.ok else FAILED


def program_file(program: Program) -> Path:
    """The file that defines the program. Errors: RunError (exit 2) where it has none."""
    file = inspect.getsourcefile(program.objective)
    if file is None or not Path(file).is_file():
        raise RunError("a proof compiles the program's file, and this program was not read from a file", 2)
    return Path(file).resolve()


def choose_target(program: Program, options: ProofOptions) -> Target:
    """The target that the options name, else the program's own hardware in the plan's topology."""
    if options.target:
        return read_target(options.target, options.slices, program.mesh)
    expectation = read_expectation(program_file(program).parent)
    topology, slices = (None, 1) if expectation is None else (expectation.topology, expectation.slices)
    return own_target(program.mesh, topology, max(slices, options.slices))


def compile_elsewhere(source: Path, target: Target, options: ProofOptions) -> tuple[Measured | None, str]:
    """What the compiler made of the program in a process of its own; None and its words where it refused.

    Errors: RunError where the process failed in another way.
    """
    title = f"compiling for {target.devices} x {target.chip.name}"
    with tempfile.TemporaryDirectory(prefix="moec-proof-") as folder:
        into = Path(folder)
        arguments = ("prove", "--target", target.name, "--slices", str(target.slices), "--compile-into", folder)
        ended = run_child(python_program(source, *arguments), title, options.timeout_seconds)
        if options.save_hlo is not None and (into / HLO).is_file():
            options.save_hlo.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"\W+", "_", str(target)).strip("_")
            (options.save_hlo / f"{name}.{HLO}").write_bytes((into / HLO).read_bytes())
        return _outcome(ended, into)


def _outcome(ended: Ended, folder: Path) -> tuple[Measured | None, str]:
    result = folder / MEASURED
    if ended.code == OK and result.is_file():
        measured = from_json(result.read_text(encoding="utf-8"))
        return replace(measured, warnings=(*measured.warnings, *replications(ended.output))), ""
    if ended.code == REFUSED and result.is_file():
        return None, result.read_text(encoding="utf-8")
    raise RunError(f"the process that compiles ended with code {ended.code}:\n{noise_of(ended.output)}")


def compile_here(program: Program, options: ProofOptions, folder: Path) -> int:
    """The child's part: compiles in this process and leaves in `folder` what it measured, or why it could not."""
    from moec.runtime.proof.child import end_when_parent_ends
    from moec.runtime.proof.compile_step import measure
    from moec.runtime.proof.failure_text import refusal
    from moec.runtime.proof.measured import to_json

    end_when_parent_ends()
    target = choose_target(program, options)
    try:
        expectation = read_expectation(program_file(program).parent)
        text, code = to_json(measure(program, target, folder / HLO, expectation)), OK
    except (RuntimeError, ValueError, TypeError, RunError) as error:
        text, code = refusal(error), REFUSED
    (folder / MEASURED).write_text(text, encoding="utf-8")
    sys.stdout.flush()
    return code


def write_report(proof: Proof, folder: Path) -> None:
    """proof.json and proof.md in `folder`, each whole or not at all."""
    for name, text in (("proof.json", as_json(proof)), ("proof.md", as_markdown(proof))):
        with _replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
