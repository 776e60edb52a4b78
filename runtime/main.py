"""The command line of an emitted program: train, eval, generate, prove."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from moec.runtime.data.errors import DataError
from moec.runtime.failure import RunError
from moec.runtime.huge_pages import start_with_huge_pages
from moec.runtime.program import Program


def main(program: Program, arguments: Sequence[str] | None = None) -> None:
    """Runs the sub-command and ends the process with its exit code: 0, 1 the run failed, 2 it could not be started,
    71 there was too little memory, 75 it hung, 130 or 143 a signal stopped it."""
    sys.exit(run_command(program, arguments))


def run_command(program: Program, arguments: Sequence[str] | None = None) -> int:
    """The exit code of the sub-command; mistakes that a person can mend are said on standard error."""
    options = command_line(program).parse_args(arguments)
    if arguments is None and options.command is _train:
        start_with_huge_pages(program.mesh.hardware)
    try:
        return int(options.command(program, options))
    except (RunError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RunError) else 1
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        return _out_of_memory(error, program, options)


def command_line(program: Program) -> argparse.ArgumentParser:
    """The parser of the program's own command line."""
    parser = argparse.ArgumentParser(description=f"The run `{program.name}`: trains, evaluates, generates, proves.")
    commands = parser.add_subparsers(required=True, metavar="train | eval | generate | prove")
    _add_train(commands, program)
    _add_eval(commands, program)
    _add_generate(commands)
    _add_prove(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser], program: Program) -> None:
    parser = commands.add_parser(
        "train",
        help="train, or go on training",
        description="Trains to the last step and evaluates; writes metrics, checkpoints and result.json. "
        "The first Ctrl-C or SIGTERM saves and stops, a second Ctrl-C stops at once.",
    )
    parser.add_argument(
        "--steps",
        type=_positive,
        default=program.training.steps,
        metavar="N",
        help="total number of steps, those before a resumption included (default: %(default)s)",
    )
    parser.add_argument(
        "--resume",
        choices=("auto", "never", "must"),
        default="auto",
        help="go on from the newest checkpoint if there is one; put an earlier run aside and start afresh; "
        "or fail where there is none (default: auto)",
    )
    _add_directory(parser)
    _add_safety(parser)
    _add_processes(parser)
    parser.set_defaults(command=_train)


def _add_safety(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("when things go wrong")
    group.add_argument(
        "--accept",
        metavar="IDENTITY",
        help="go on from checkpoints of the program with this identity too; `moec diff` says what that means",
    )
    group.add_argument(
        "--verify-steps",
        type=_positive,
        default=0,
        metavar="N",
        help="take every Nth step twice and compare the bits (default: none)",
    )
    group.add_argument(
        "--hang-after",
        type=_not_negative,
        default=1800.0,
        metavar="SECONDS",
        help="end with the stacks of all threads and exit code 75 after so long without a step; 0: never "
        "(default: %(default)g)",
    )


def _add_eval(commands: argparse._SubParsersAction[argparse.ArgumentParser], program: Program) -> None:
    parser = commands.add_parser(
        "eval",
        help="measure the held-out loss of the newest checkpoint",
        description="Prints the held-out loss of the newest checkpoint, beside that of a unigram model.",
    )
    parser.add_argument(
        "--tokens",
        type=_positive,
        default=program.evaluation.tokens,
        metavar="N",
        help="at most so many held-out tokens (default: %(default)s)",
    )
    _add_directory(parser)
    _add_processes(parser)
    parser.set_defaults(command=_evaluate)


def _add_generate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "generate",
        help="let the newest checkpoint write",
        description="Continues a prompt with the newest checkpoint. The same options give the same text.",
    )
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what to continue (default: a new document)")
    parser.add_argument("--tokens", type=_positive, default=256, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--temperature",
        type=_not_negative,
        default=0.8,
        metavar="T",
        help="0 takes the likeliest token each time (default: %(default)s)",
    )
    parser.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest tokens only; 0: all (default)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    _add_directory(parser)
    parser.set_defaults(command=_generate)


def _add_prove(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "prove",
        help="compile the training step for chips that need not be here",
        description="Compiles the training step with its target's own compiler from shapes alone, and holds memory, "
        "FLOPs and collectives against the plan. Exit code 0: proven, 1: not, 2: it could not be tried.",
    )
    parser.add_argument(
        "--target",
        default="",
        metavar="CHIP:SHAPE",
        help="tpu_v5p:8x8x8, h100:8, cpu:8 … (default: the hardware of the program's mesh)",
    )
    parser.add_argument("--slices", type=_positive, default=1, metavar="N", help="of a TPU target (default: 1)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--save-hlo", type=Path, metavar="DIR", help="the folder that gets the compiler's text")
    parser.add_argument(
        "--timeout", type=_positive, default=3600, metavar="SECONDS", help="stop the compiler then (default: 3600)"
    )
    parser.add_argument("--compile-into", type=Path, help=argparse.SUPPRESS)
    _add_directory(parser)
    parser.set_defaults(command=_prove)


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(sys.argv[0]).resolve().parent,
        metavar="DIR",
        help="the folder of the run (default: the program's own)",
    )


def _add_processes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "several processes", "Not needed under Slurm, Kubernetes and Cloud TPU, which JAX recognises."
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where the processes meet: an address of process 0")
    group.add_argument("--processes", type=_positive, metavar="N", help="how many there are")
    group.add_argument("--process", type=int, metavar="I", help="which one this is, from 0")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{number} is not 0 or more")
    return number


def _train(program: Program, options: argparse.Namespace) -> int:
    from moec.runtime.loop import TrainOptions, train
    from moec.runtime.processes import is_first_process
    from moec.runtime.program_hash import change_in_words

    _start(program, options)
    if is_first_process() and (changed := change_in_words(Path(sys.argv[0]))):
        print(changed, file=sys.stderr)
    chosen = TrainOptions(
        directory=options.out,
        steps=options.steps,
        resume=options.resume,
        accept=options.accept,
        verify_every=options.verify_steps,
        hang_seconds=options.hang_after,
    )
    return train(program, chosen)


def _evaluate(program: Program, options: argparse.Namespace) -> int:
    from moec.runtime.trained import evaluate_newest

    _start(program, options)
    print(evaluate_newest(program, options.out, options.tokens))
    return 0


def _generate(program: Program, options: argparse.Namespace) -> int:
    from moec.runtime.devices import check_devices, prepare_devices
    from moec.runtime.generate import Sampling
    from moec.runtime.trained import continue_text

    prepare_devices(program.mesh)
    check_devices(program.mesh)
    sampling = Sampling(tokens=options.tokens, temperature=options.temperature, top_k=options.top_k, seed=options.seed)
    print(continue_text(program, options.out, options.prompt, sampling))
    return 0


def _prove(program: Program, options: argparse.Namespace) -> int:
    from moec.runtime.proof.prove import ProofOptions, compile_here, prove_and_report

    chosen = ProofOptions(
        target=options.target,
        slices=options.slices,
        format=options.format,
        save_hlo=options.save_hlo,
        timeout_seconds=options.timeout,
        out=options.out,
    )
    if options.compile_into is not None:
        return compile_here(program, chosen, options.compile_into)
    return prove_and_report(program, chosen)


def _out_of_memory(error: Exception, program: Program, options: argparse.Namespace) -> int:
    """Says what can be done about too little memory and gives the exit code; any other error goes on as it came."""
    from moec.runtime.out_of_memory import is_out_of_memory, out_of_memory

    if not is_out_of_memory(error):
        raise error
    told = out_of_memory(error, program, options.out)
    print(f"error: {told}", file=sys.stderr)
    return told.exit_code


def _start(program: Program, options: argparse.Namespace) -> None:
    """Joins the run's other processes and makes sure of the devices."""
    from moec.runtime.devices import check_devices, prepare_devices
    from moec.runtime.processes import join_processes, membership_of, process_count

    membership = membership_of(options.coordinator, options.processes, options.process)
    prepare_devices(program.mesh, processes=process_count(membership))
    join_processes(membership)
    check_devices(program.mesh, lambda: _planned_memory(options.out))


def _planned_memory(out: Path) -> str:
    """What the plan says that a device needs."""
    from moec.runtime.out_of_memory import memory_in_words, planned_beside

    return memory_in_words(planned_beside(out))
