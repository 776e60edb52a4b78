"""Memory that the C library holds after it was freed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Final

TRIM_THRESHOLD: Final = -1
MMAP_MAX: Final = -4
"""glibc's numbers of these parameters of `mallopt`."""

NEVER: Final = -1


def give_back_freed() -> None:
    """Gives the kernel what glibc's malloc holds and nobody uses; does nothing where there is no glibc.

    XLA's compiler frees some 150 MiB that stay in the arenas of its threads, beside which a step's own memory is then
    taken (docs/log.md, 2026-11-28).
    """
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def keep_freed() -> None:
    """From now on glibc's malloc keeps what the main thread frees, however large, until `give_back_freed`; does nothing
    where there is no glibc.

    XLA on CPUs frees the temporaries of a step at its end, in the thread that called it where calls wait for the
    device. Given to the kernel, they are new pages in the next step; a virtual machine whose host takes free pages away
    needs a second for them (docs/log.md, 2026-11-29). Saving and evaluating leave much that is not used again, so runs
    give back behind them.
    """
    if set_option := _of_glibc("mallopt"):
        set_option(MMAP_MAX, 0)
        set_option(TRIM_THRESHOLD, NEVER)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
