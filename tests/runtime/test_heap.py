from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from moec.runtime import heap

BLOCK, BLOCKS = 64 * 1024, 2000


def resident_bytes() -> int:
    return 4096 * int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="a C library without malloc_trim"
)
def test_memory_that_was_freed_below_memory_in_use_goes_back_to_the_kernel() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    blocks = [libc.malloc(BLOCK) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    in_use = libc.malloc(BLOCK)
    for block in blocks:
        libc.free(block)
    before = resident_bytes()
    heap.give_back_freed()
    after = resident_bytes()
    libc.free(in_use)
    assert before - after > BLOCK * BLOCKS // 2


def test_a_library_without_it_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: object())
    heap.give_back_freed()
