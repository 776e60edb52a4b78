"""Making batches ahead, through grain and through a thread."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from moec.runtime.batch import Batch
from moec.runtime.data import loading
from moec.runtime.data.loading import load, load_with_grain, load_with_thread

LOADERS = pytest.mark.parametrize("loader", [load_with_grain, load_with_thread])


def make(number: int) -> Batch:
    return Batch(*(np.full((2, 3), number + field) for field in range(5)))


def numbers(batches: loading.Batches) -> list[int]:
    return [int(batch.tokens_BS[0, 0]) for batch in batches]


def wait_for_threads(before: set[threading.Thread]) -> set[threading.Thread]:
    """The threads that are still there after at most 5 seconds."""
    for _ in range(100):
        extra = set(threading.enumerate()) - before
        if not extra:
            return extra
        time.sleep(0.05)
    return extra


@LOADERS
@pytest.mark.parametrize(("first", "end"), [(0, 10), (7, 10), (9, 10), (10, 10), (11, 10)])
def test_batches_come_in_order_from_first_to_end(loader: object, first: int, end: int) -> None:
    assert numbers(loader(make, first, end)) == list(range(first, end))


@LOADERS
def test_an_error_comes_out_of_the_next_that_asks_for_its_batch(loader: object) -> None:
    def fail_at_three(number: int) -> Batch:
        if number == 3:
            raise OSError("the disk is gone")
        return make(number)

    batches = loader(fail_at_three, 0, 10)
    assert [int(next(batches).tokens_BS[0, 0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


@LOADERS
def test_the_next_batch_is_made_while_the_last_one_is_used(loader: object) -> None:
    made = threading.Event()

    def tell(number: int) -> Batch:
        if number == 1:
            made.set()
        return make(number)

    batches = loader(tell, 0, 10)
    next(batches)
    assert made.wait(timeout=5)
    batches.close()


@LOADERS
def test_closing_early_leaves_no_thread_behind(loader: object) -> None:
    before = set(threading.enumerate())
    batches = loader(make, 0, 1000)
    next(batches)
    batches.close()
    assert wait_for_threads(before) == set()


@LOADERS
def test_an_end_leaves_no_thread_behind(loader: object) -> None:
    before = set(threading.enumerate())
    assert len(numbers(loader(make, 0, 5))) == 5
    assert wait_for_threads(before) == set()


@pytest.mark.parametrize("loader", ["load_with_grain", "load_with_thread"])
def test_a_program_may_end_without_closing_its_batches(loader: str) -> None:
    code = f"from moec.runtime.data.loading import {loader} as load; batches = load(str, 0, 100); print(next(batches))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (result.stdout, result.stderr) == ("0\n", "")


def test_grain_is_used_where_it_is_installed_and_a_thread_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_with_grain", lambda make, first, end: iter(["grain"]))
    monkeypatch.setattr(loading, "load_with_thread", lambda make, first, end: iter(["thread"]))
    assert list(load(make, 0, 1)) == ["grain"]
    monkeypatch.setitem(sys.modules, "grain", None)
    assert list(load(make, 0, 1)) == ["thread"]
