"""Making batches ahead of the step that needs them, through grain where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

from moec.runtime.batch import Batch

# Batches in the making while a step runs.
# Assumption: making one takes less time than a step; the second evens out jitter.
_AHEAD = 2

BatchMaker = Callable[[int], Batch]
Batches = Generator[Batch, None, None]


def load(make: BatchMaker, first: int, end: int) -> Batches:
    """`make(first)` to `make(end - 1)` in order, made ahead in the background.

    An exception of `make` comes out of the `next()` that asks for that batch. `close()` stops the work and its thread.
    Grain and the thread give the same batches: they only decide when `make` is called.
    """
    if importlib.util.find_spec("grain") is not None:
        return load_with_grain(make, first, end)
    return load_with_thread(make, first, end)


def load_with_grain(make: BatchMaker, first: int, end: int) -> Batches:
    if first >= end:
        return
    import grain

    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
    batches = iter(grain.MapDataset.range(first, end).map(make).to_iter_dataset(options))
    try:
        yield from batches
    finally:
        batches.close()


def load_with_thread(make: BatchMaker, first: int, end: int) -> Batches:
    interpreter_ends = sys.is_finalizing
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moec-data")
    try:
        waiting = deque(pool.submit(make, number) for number in range(first, min(first + _AHEAD, end)))
        for number in range(first + _AHEAD, end + _AHEAD):
            if not waiting:
                return
            batch = waiting.popleft().result()
            if number < end:
                waiting.append(pool.submit(make, number))
            yield batch
    finally:
        if not interpreter_ends():  # then the pool is gone already; an iterator that nobody closed is collected last
            pool.shutdown(wait=False, cancel_futures=True)
