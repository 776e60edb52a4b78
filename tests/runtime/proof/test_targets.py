"""Targets are read as people write them, and what cannot be is refused with what can."""

from __future__ import annotations

import re

import pytest

from moec.runtime.failure import RunError
from moec.runtime.mesh import MeshShape
from moec.runtime.proof import targets
from moec.runtime.proof.targets import (
    CHIPS,
    Target,
    check_devices,
    check_installed,
    chip_named,
    own_target,
    read_target,
)
from moec.runtime.proof.topology import answering_for, compute_capability, device_description
from moec.spec.hardware.catalogue import HARDWARE_NAMES, hardware

POD = MeshShape("tpu_v5p", data=2, fsdp=16, expert=16, seq=1, model=1)
NODE = MeshShape("h100", data=1, fsdp=8, expert=1, seq=1, model=1)
NEEDED = (
    "core_count",
    "clock_rate_ghz",
    "memory_bandwidth",
    "device_memory_size",
    "l2_cache_size",
    "shared_memory_per_block_optin",
    "registers_per_core_limit",
    "threads_per_warp",
    "threads_per_block_limit",
    "threads_per_core_limit",
    "major",
    "active_links",
)
HOST_OF_A_RACK = {72: 4}
"""Of the 72 GPUs that a GB200 NVL72 links, 4 are in a host."""


@pytest.mark.parametrize(
    ("text", "slices", "devices", "name"),
    [
        ("tpu_v5p:8x8x8", 1, 512, "tpu_v5p:8x8x8"),
        ("tpu_v6e:16x16", 2, 512, "tpu_v6e:16x16 x 2 slices"),
        ("tpu_7x:2x2x2", 1, 16, "tpu_7x:2x2x2"),
        ("h100:8", 1, 8, "h100:8"),
        (" cpu:8 ", 1, 8, "cpu:8"),
        ("cpu", 1, 512, "cpu:512"),
    ],
)
def test_a_target_has_devices_and_a_name(text: str, slices: int, devices: int, name: str) -> None:
    target = read_target(text, slices, POD)
    assert target.devices == devices
    assert str(target) == name


@pytest.mark.parametrize(
    ("text", "slices", "words"),
    [
        ("abacus:8", 1, "proven for cpu, tpu_v4"),
        ("tpu_v5p", 1, "say which topology"),
        ("tpu_v5p:8x0x8", 1, "no shape of chips"),
        ("h100:eight", 1, "no shape of chips"),
        ("h100:2x4", 1, "has no topology"),
        ("h100:12", 1, "no multiple"),
        ("h100:8", 2, "only TPUs come in slices"),
    ],
)
def test_what_is_no_target_is_refused_with_what_is(text: str, slices: int, words: str) -> None:
    with pytest.raises(RunError, match=re.escape(words)) as refused:
        read_target(text, slices, POD)
    assert refused.value.exit_code == 2


def test_the_own_target_is_the_plan_s_topology_or_the_node() -> None:
    assert str(own_target(POD, (8, 8, 8), 1)) == "tpu_v5p:8x8x8"
    assert str(own_target(NODE, None, 1)) == "h100:8"
    with pytest.raises(RunError, match="in which topology"):
        own_target(POD, None, 1)


def test_another_number_of_devices_says_both_and_the_axes() -> None:
    with pytest.raises(RunError, match=r"64 devices.*512 \(data 2 x fsdp 16 x expert 16\)"):
        check_devices(read_target("tpu_v5p:4x4x4", 1, POD), POD)
    check_devices(read_target("tpu_v5p:8x8x8", 1, POD), POD)


def test_a_missing_compiler_gives_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "find_spec", lambda module: None)
    with pytest.raises(RunError, match=re.escape('pip install "moec[cuda]"')):
        check_installed(read_target("h100:8", 1, NODE))


def test_chips_are_those_of_the_catalogue() -> None:
    assert {chip.name for chip in CHIPS} == set(HARDWARE_NAMES) - {"mi300x"}
    for chip in CHIPS:
        known = hardware(chip.name)
        assert (chip.platform, chip.hbm_bytes) == (known.platform, known.hbm_bytes)
        assert chip.devices_per_chip == known.devices_per_chip
        if chip.platform == "gpu":
            assert chip.host_devices == HOST_OF_A_RACK.get(known.chips_per_node, known.chips_per_node)


@pytest.mark.parametrize("chip", [chip for chip in CHIPS if chip.platform == "gpu"], ids=lambda chip: chip.name)
def test_a_gpu_s_description_is_whole_has_its_sources_and_agrees_with_the_catalogue(chip: targets.Chip) -> None:
    text = device_description(chip.name)
    values = dict(re.findall(r"\b(\w+): ([\d.]+)", text))
    assert [name for name in NEEDED if name not in values] == []
    assert "# Sources:" in text
    known = hardware(chip.name)
    assert float(values["memory_bandwidth"]) == pytest.approx(known.hbm_bytes_per_second, rel=0.02)
    assert float(values["device_memory_size"]) == pytest.approx(chip.hbm_bytes, rel=0.08)


@pytest.mark.parametrize(("chip", "capability"), [("a100", (8, 0)), ("h100", (9, 0)), ("b200", (10, 0))])
def test_a_gpu_that_is_not_there_says_what_it_can(chip: str, capability: tuple[int, int]) -> None:
    from jax._src.cudnn import fused_attention_stablehlo as attention

    assert compute_capability(chip) == capability
    with answering_for(Target(chip_named(chip), (1,))):
        assert attention.check_compute_capability("9.0") == (capability >= (9, 0))
