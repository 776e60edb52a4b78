"""Where the memory of a training process on a CPU goes: what it holds resident before, while and after compiling.

    python benchmarks/resident.py [--shapes 256x4x256] [--groups dense 8-dropless]

The programs are those of peers.py. A process each, in an environment without JAX's plugins for GPUs and TPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE = 0.01
"""Seconds between two looks."""

STEPS = 6
COLUMNS = ("imports", "weights and moments", "left by compiling", "temporaries", "most while compiling", "most in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["256x4x256"], metavar="WIDTHxLAYERSxLENGTH")
    parser.add_argument("--groups", nargs="+", default=["dense", "8-dropless"], metavar="GROUP", help="as of peers.py")
    parser.add_argument("--tokens", type=int, default=2048, metavar="N", help="of a step (default: %(default)s)")
    parser.add_argument("--program", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.program:
        print(json.dumps(held(options.program)))
        return
    import peers
    import plans

    print(f"MiB | {' | '.join(COLUMNS)}")
    for title, _, work in peers.groups(options.shapes, options.tokens, set(options.groups)):
        with tempfile.TemporaryDirectory() as folder:
            program = plans.write_program(peers.plan_of(work), Path(folder))
            command = (sys.executable, __file__, "--program", str(program))
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=peers.environment())
        found = json.loads(done.stdout)
        print(f"{title} | {' | '.join(f'{found[name] / 2**20:,.0f}' for name in COLUMNS)}", flush=True)


def held(path: Path) -> dict[str, float]:
    """Bytes by the names of `COLUMNS`, of training steps of the program."""
    import jax
    from timed_runs import random_batch

    from moec.runtime.background import compile_meanwhile
    from moec.runtime.devices import prepare_devices
    from moec.runtime.mesh import make_mesh
    from moec.runtime.program import Program
    from moec.runtime.state import initial_state, lay_out

    program: Program = runpy.run_path(str(path))["PROGRAM"]
    prepare_devices(program.mesh)
    layout = lay_out(program, make_mesh(program.mesh))
    batch = random_batch(program, 2)
    imports = resident()
    with most() as while_compiling:
        compiled = compile_meanwhile(program, layout)
        state = initial_state(program, layout)
        step = compiled().step
    before, own = resident(), sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    with jax.set_mesh(layout.mesh):
        for _ in range(STEPS):
            state, report = step(state, batch)
            jax.block_until_ready(report.loss)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    temporaries = step.memory_analysis().temp_size_in_bytes
    values = (imports, own, before - imports - own, temporaries, while_compiling(), peak)
    return dict(zip(COLUMNS, values, strict=True))


def resident(process: int | None = None) -> int:
    """Bytes that the process (this one, where none is named) holds now; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{process or 'self'}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def most() -> Iterator[Callable[[], int]]:
    """What tells the most that the process held while the context was open, by looks at it."""
    seen, is_over = [resident()], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.append(resident())
            time.sleep(PAUSE)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: max(seen)
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    main()
