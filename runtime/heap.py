"""Memory that the C library holds after it was freed."""

from __future__ import annotations

import ctypes
import sys


def give_back_freed() -> None:
    """Gives the kernel what glibc's malloc holds and nobody uses; does nothing where there is no glibc.

    XLA's compiler frees some 150 MiB that stay in the arenas of its threads, beside which a step's own memory is then
    taken (docs/log.md, 2026-11-28).
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
