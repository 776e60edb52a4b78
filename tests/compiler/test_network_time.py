"""Seconds of collectives: bytes through the bandwidth, and the latency of each start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import GPU, LAPTOP, TPU, mesh

from moec.compiler.formulas.collectives import latency_seconds, ring_all_to_all_seconds
from moec.compiler.formulas.network import Network, network_of
from moec.compiler.passes.estimate_step_time import collective_seconds
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import CollectivePlan
from moec.compiler.typed import MESH_AXES
from moec.spec.hardware import Hardware

HOP = 1e-6
RING = Network(bytes_per_second=1e9, latency_seconds=HOP, ring=True, slow=False)
SWITCH = Network(bytes_per_second=1e9, latency_seconds=HOP, ring=False, slow=False)


@pytest.mark.parametrize(
    ("op", "hops"), [("all-gather", 7), ("reduce-scatter", 7), ("all-reduce", 14), ("all-to-all", 3.5)]
)
def test_on_a_ring_of_eight_the_last_device_waits_for_its_hops(op: str, hops: float) -> None:
    assert latency_seconds(op, 8, HOP, ring=True) == pytest.approx(hops * HOP)


@pytest.mark.parametrize("n", [2, 8, 512])
def test_behind_a_switch_a_start_takes_as_long_for_any_group(n: int) -> None:
    assert latency_seconds("all-reduce", n, HOP, ring=False) == HOP


def test_an_all_to_all_travels_a_quarter_of_its_ring_but_never_less_than_one_hop() -> None:
    assert ring_all_to_all_seconds(1000, 16, 1e9) == pytest.approx(4 * 1e-6)
    assert ring_all_to_all_seconds(1000, 2, 1e9) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("op", "network", "seconds"),
    [
        # 3 starts of 7 hops of 1 us, and 3,000 bytes at 1 GB/s.
        ("all-gather", RING, 21e-6 + 3e-6),
        # Half the hops, but each byte goes round a quarter of 8.
        ("all-to-all", RING, 10.5e-6 + 6e-6),
        ("all-to-all", SWITCH, 3e-6 + 3e-6),
    ],
)
def test_collectives_of_a_kind_follow_one_another(op: str, network: Network, seconds: float) -> None:
    rows = [CollectivePlan(op, "expert", 2, 1000, "slots"), CollectivePlan(op, "expert", 1, 1000, "more slots")]
    assert collective_seconds(op, 8, rows, network) == pytest.approx(seconds)


def test_the_latency_is_that_of_the_network_that_the_slowest_axis_crosses() -> None:
    chip = replace(GPU, link_latency_seconds=5e-6, network_latency_seconds=2e-5)
    axes = dict.fromkeys(MESH_AXES, 1) | {"data": 2, "expert": 8}
    assert network_of(chip, axes, ("expert",), fast=8).latency_seconds == 5e-6
    assert network_of(chip, axes, ("data",), fast=8).latency_seconds == 2e-5
    assert network_of(chip, axes, ("data", "expert"), fast=8).latency_seconds == 2e-5


@pytest.mark.parametrize("chip", [GPU, TPU], ids=lambda chip: chip.name)
def test_latency_adds_to_a_step_its_starts_and_nothing_else(chip: Hardware) -> None:
    def network_seconds(latency: float) -> float:
        there = replace(chip, link_latency_seconds=latency)
        plan, told = plan_run(replace(LAPTOP, mesh=mesh(there, 4, fsdp=4)))
        assert plan is not None, told
        return sum(row.seconds for row in plan.step_time.breakdown if row.cause == "network")

    plan, _ = plan_run(replace(LAPTOP, mesh=mesh(chip, 4, fsdp=4)))
    assert plan is not None
    rounds = {"all-reduce": 6, "all-gather": 3, "reduce-scatter": 3} if chip is TPU else {}
    starts = sum(row.count * rounds.get(row.op, 1) for row in plan.collectives)
    assert network_seconds(HOP) - network_seconds(0.0) == pytest.approx(starts * HOP)
