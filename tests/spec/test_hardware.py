"""The hardware catalogue: each file keeps the schema, says where its figures come from, and is read as written."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import jsonschema
import pytest
import yaml

from moec.spec.hardware import Hardware
from moec.spec.hardware.catalogue import HARDWARE_NAMES, hardware, hardware_schema, parse_hardware

FOLDER = Path(__file__).parents[2] / "spec" / "hardware"
CHIPS = [hardware(name) for name in HARDWARE_NAMES]


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def test_each_file_has_a_name_and_each_name_a_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(HARDWARE_NAMES)
    assert [chip.name for chip in CHIPS] == list(HARDWARE_NAMES)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(hardware_schema())


@pytest.mark.parametrize("name", HARDWARE_NAMES)
def test_a_file_keeps_the_schema(name: str) -> None:
    content = yaml.load(text_of(name), yaml.BaseLoader)
    jsonschema.Draft7Validator(hardware_schema()).validate(content)


@pytest.mark.parametrize("name", HARDWARE_NAMES)
def test_the_checked_way_to_read_a_file_gives_the_same_chip(name: str) -> None:
    assert parse_hardware(text_of(name)) == hardware(name)


@pytest.mark.parametrize("chip", CHIPS, ids=HARDWARE_NAMES)
def test_figures_are_possible(chip: Hardware) -> None:
    assert chip.sources
    assert all(shape and min(shape) >= 1 for shape in chip.topologies)
    assert len(set(chip.topologies)) == len(chip.topologies)
    assert (chip.platform == "tpu") == bool(chip.topologies)
    if chip.platform != "cpu":
        peak = chip.peak_flops_per_second["bfloat16"]
        assert 1e14 < peak < 1e16
        assert 1e10 <= chip.hbm_bytes < 1e12
        assert chip.hbm_bytes_per_second > chip.link_bytes_per_second * chip.links > chip.network_bytes_per_second > 0
        assert all(rate <= peak for dtype, rate in chip.achievable_flops_per_second.items() if dtype == "bfloat16")


def test_the_cpu_has_no_memory_limit_and_no_peak_but_a_measured_rate() -> None:
    cpu = hardware("cpu")
    assert cpu.hbm_bytes == 0
    assert cpu.peak_flops_per_second == {}
    assert cpu.achievable_flops_per_second == {"float32": 1e11}


@pytest.mark.parametrize(
    ("name", "shape", "offered"),
    [
        ("tpu_v5p", (8, 8, 8), True),
        ("tpu_v5p", (2, 2, 1), True),
        ("tpu_v5p", (16, 16, 24), True),
        ("tpu_v5p", (16, 20, 20), False),
        ("tpu_v5p", (8, 4, 4), False),
        ("tpu_v4", (12, 16, 16), True),
        ("tpu_v4", (16, 16, 20), False),
        ("tpu_v6e", (16, 16), True),
        ("tpu_v6e", (16, 32), False),
    ],
)
def test_topologies_are_those_on_offer(name: str, shape: tuple[int, ...], offered: bool) -> None:
    assert (shape in hardware(name).topologies) == offered


def test_no_topology_is_larger_than_a_pod() -> None:
    most = {"tpu_v4": 4096, "tpu_v5e": 256, "tpu_v5p": 6144, "tpu_v6e": 256, "tpu_7x": 9216}
    for name, chips in most.items():
        assert max(prod(shape) for shape in hardware(name).topologies) == chips


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "None"),
        ("[1]", "object"),
        ("{", "no YAML"),
        ("name: &x y", "anchors"),
        (text_of("h100").replace("hbm: 80GB", "hbm: 80"), "`hbm`"),
        (text_of("h100").replace("hbm: 80GB", "hbm: 80GB/s"), "`hbm`"),
        (text_of("h100") + "speed: 3\n", "speed"),
        (text_of("h100").replace("links: 1\n", ""), "links"),
        ("[" * 5000, ""),
    ],
)
def test_a_file_that_breaks_the_rules_is_told_where(text: str, part: str) -> None:
    wrong = parse_hardware(text)
    assert isinstance(wrong, str)
    assert wrong
    assert part in wrong


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "",
        "[]",
        '{"form": 1, "source": SOURCE, "content": null}',
        '{"form": 1, "source": SOURCE, "content": {"name": "h100"}}',
        '{"form": 1, "source": "another text", "content": {}}',
    ],
)
def test_a_chip_is_the_same_whatever_was_kept_of_it(
    kept: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "moec" / "hardware-h100.json"
    if kept is not None:
        path.parent.mkdir()
        path.write_text(kept.replace("SOURCE", json.dumps(text_of("h100"))), encoding="utf-8")
    read = hardware.__wrapped__
    assert read("h100") == hardware("h100")
    assert json.loads(path.read_text())["content"] == yaml.load(text_of("h100"), yaml.BaseLoader)
    monkeypatch.setattr(yaml, "load", lambda *_: pytest.fail("the kept one is read"))
    assert read("h100") == hardware("h100")
