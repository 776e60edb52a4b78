"""Caches whose shapes nobody said, in unrolled and in scanned models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from moec.runtime.cache_room import CacheRoom
from moec.runtime.initializer import Initializer


@pytest.mark.parametrize("scan", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_prompt_fills_real_caches_and_sees_what_it_sees_without(
    scan: bool, tiny_model: Callable[..., Any], batch_of: Callable[..., Any]
) -> None:
    model = tiny_model(scan=scan, capacity=None, grouped_matmul="tiles")(Initializer(0))
    batch = batch_of(2, 8, segments=1, padding=0)

    @jax.jit
    def both() -> tuple[Any, Any]:
        return model(batch), model(batch, CacheRoom(12))

    without, with_room = both()
    np.testing.assert_allclose(with_room.hidden_BSD, without.hidden_BSD, atol=1e-5)
    assert {cache.k_BMGH.shape[-4:] for cache in with_room.caches} == {(2, 12, 8, 4)}
    assert all((np.asarray(cache.filled) == 8).all() for cache in with_room.caches)
    assert len(with_room.caches) == (3 if scan else 5)
