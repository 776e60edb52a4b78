"""Each process reads the rows that its devices hold."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from moec.runtime.batch import Batch
from moec.runtime.mesh import MeshShape, make_mesh
from moec.runtime.placement import RowShare, _global_array, batch_sharding, place, row_share


def shape(**axes: int) -> MeshShape:
    return MeshShape(hardware="cpu", **({"data": 1, "fsdp": 1, "expert": 1, "seq": 1, "model": 1} | axes))


@pytest.mark.parametrize("axes", [{}, {"data": 8}, {"seq": 4, "model": 2}, {"fsdp": 2, "expert": 4}])
def test_one_process_reads_all_rows(axes: dict[str, int]) -> None:
    assert row_share(make_mesh(shape(**axes)), 8) == RowShare(0, 1)


def test_rows_lie_over_the_batch_axes_and_positions_over_seq() -> None:
    mesh = make_mesh(shape(data=2, expert=2, seq=2))
    rows = np.arange(2 * 4 * 6).reshape(2, 4, 6)
    placed = place(Batch(rows, rows, rows, rows, rows), batch_sharding(mesh), RowShare(0, 1))
    assert placed.tokens_BS.sharding.spec == P(None, ("data", "fsdp", "expert"), "seq")
    assert placed.tokens_BS.addressable_shards[0].data.shape == (2, 1, 3)
    np.testing.assert_array_equal(placed.weights_BS, rows)


def test_a_share_is_put_where_it_belongs_in_the_global_array() -> None:
    mesh = make_mesh(shape(data=4, seq=2))
    rows = np.arange(2 * 4 * 6).reshape(2, 4, 6)
    whole = _global_array(rows, batch_sharding(mesh), RowShare(0, 1))
    np.testing.assert_array_equal(whole, rows)
    assert len(whole.sharding.device_set) == jax.device_count() == 8
