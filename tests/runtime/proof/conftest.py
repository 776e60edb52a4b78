"""Programs as compilers write them, shortened: the forms that a proof must not count twice or miss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(__file__).with_name("samples")


@pytest.fixture(scope="session")
def sample() -> Callable[[str], str]:
    """The text of a sample: loop, gpu or tpu. Their mesh is data 2 x fsdp 2 x expert 2."""
    return lambda name: (SAMPLES / f"{name}.hlo.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def loop(sample: Callable[[str], str]) -> Callable[..., str]:
    """The sample loop with its counter's first value and step, and what the compiler says of its length if it does."""

    def text(*, first: int = 0, step: int = 1, known: int | None = None) -> str:
        said = "" if known is None else f', backend_config={{"known_trip_count":{{"n":"{known}"}}}}'
        sampled = sample("loop").replace("FIRST", str(first)).replace("STEP", str(step))
        return sampled.replace("KNOWN", said)

    return text
