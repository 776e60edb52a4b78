"""moec: the program that `moec compile` writes, found at the second argument."""

from __future__ import annotations

from protocol import serve, server, work


def main() -> None:
    served, wanted = server(), work()
    import runpy
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).parents[1]))
    from timed_runs import timed_step

    served.count_compiling()
    timed = timed_step(runpy.run_path(sys.argv[2])["PROGRAM"], wanted.vocab)

    def step() -> float:
        timed.state, loss = timed.step(timed.state)
        return float(loss)

    serve(served, step)


if __name__ == "__main__":
    main()
