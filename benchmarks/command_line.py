"""CPU seconds of `moec --help` and of `moec check` on a spec of 300 lines, each in a process of its own.

    python benchmarks/command_line.py [CALLS]

The first call warms the file cache and Python's byte code and is left out. The least of the others is what the command
costs; the median tells how busy the machine was.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

LINES = 300
HEAD = (Path(__file__).parent.parent / "examples" / "quickstart.moe").read_text(encoding="utf-8")
MODEL = """
/// Model number {number}.
model m{number} extends dense {{
  n_layers = {number}
  d_model  = 64 * {number}
  attention {{ n_heads = 4, n_kv_heads = 2 }}
  ffn       {{ d_ff = 4 * d_model }}
}}

run r{number} extends baseline {{ model = m{number} }}
"""


def long_spec() -> str:
    """The quickstart with more and more models and runs of them."""
    text, number = HEAD, 1
    while text.count("\n") < LINES:
        text += MODEL.format(number=number)
        number += 1
    return text


def cpu_seconds(*arguments: str) -> float:
    """User and system time of one call of `moec`."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)]
    command = (sys.executable, "-m", "moec.cli.main", *arguments)
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise SystemExit(f"moec {' '.join(arguments)} ended with status {code}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "long.moe"
        spec.write_text(long_spec(), encoding="utf-8")
        for arguments in (("--help",), ("check", str(spec))):
            seconds = [cpu_seconds(*arguments) for _ in range(calls + 1)][1:]
            least, median = 1000 * min(seconds), 1000 * statistics.median(seconds)
            print(
                f"moec {arguments[0]:<7} {least:4.0f} ms CPU at least, {median:4.0f} ms in the median of {calls} calls"
            )


if __name__ == "__main__":
    main()
