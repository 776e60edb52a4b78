"""`moec`: finds the command, runs it, and turns whatever happens into an exit status.

0 all is well, 1 the spec has errors, 2 misuse or a file that cannot be read or written, 70 a fault of moec itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from moec.cli import (
    check,
    compile,
    convert,
    diff,
    doctor,
    expand,
    explain,
    fmt,
    init,
    launch,
    lsp,
    plan,
    playground,
    prove,
    run,
    schema,
)
from moec.cli.command import BROKEN_PIPE, INTERRUPTED, MISUSED, OK, Command, Failure
from moec.spec import VERSION

COMMANDS: tuple[Command, ...] = (
    init.COMMAND,
    check.COMMAND,
    plan.COMMAND,
    compile.COMMAND,
    prove.COMMAND,
    run.COMMAND,
    launch.COMMAND,
    expand.COMMAND,
    fmt.COMMAND,
    convert.COMMAND,
    diff.COMMAND,
    explain.COMMAND,
    schema.COMMAND,
    lsp.COMMAND,
    playground.COMMAND,
    doctor.COMMAND,
)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `moec` with the arguments `argv`, by default those of this process."""
    arguments = tuple(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
    except Failure as failure:
        if failure.message:
            print(f"moec: {failure.message}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        print("moec: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except OSError as error:
        print(f"moec: {_told(error)}", file=sys.stderr)
        return MISUSED
    except Exception as fault:
        from moec.cli.fault import report_fault

        return report_fault(fault, arguments, VERSION)
    return status


def _dispatch(arguments: tuple[str, ...]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return OK if arguments else MISUSED
    if arguments[0] in ("-V", "--version"):
        print(f"moec {VERSION}")
        return OK
    command = _command(arguments[0])
    parser = _parser(command)
    return command.run(parser.parse_args(arguments[1:]))


def _command(name: str) -> Command:
    for command in COMMANDS:
        if command.name == name:
            return command
    from moec.spec.near import nearest

    near = nearest(name, tuple(command.name for command in COMMANDS))
    meant = f"; did you mean `moec {near}`?" if near else ""
    raise Failure(f"there is no command `{name}`{meant}\nThe commands: {' '.join(c.name for c in COMMANDS)}")


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"moec {command.name}",
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def _overview() -> str:
    lines = (f"  {command.name:<12}{command.summary}" for command in COMMANDS)
    return "\n".join(
        (
            "usage: moec COMMAND …",
            "",
            "From a short spec of a model, a mesh and a budget to a JAX program that trains it.",
            "",
            *lines,
            "",
            "  moec COMMAND --help   arguments and examples",
            "  moec --version",
            "",
            "A first model:",
            "  moec init && moec run starter.moe",
        )
    )


def _told(error: OSError) -> str:
    if error.filename is None:
        return error.strerror or str(error)
    return f"{error.filename}: {error.strerror}"


def _forget_stdout() -> None:
    """Lets the interpreter close a standard output that nobody reads any more, without a message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
