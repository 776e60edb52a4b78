"""Makes the benchmarks importable, which are programs and no package, and `told.py` for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(Path(__file__).parent)]


@pytest.fixture(scope="module")
def workers() -> Iterator[None]:
    """Makes the workers importable."""
    sys.path.insert(0, str(BENCHMARKS / "gpu_workers"))
    yield
    sys.path.remove(str(BENCHMARKS / "gpu_workers"))
