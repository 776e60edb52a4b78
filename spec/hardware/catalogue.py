"""The hardware catalogue: a name -> what is known of the chip. One YAML file per chip, in this folder.

Numbers are written as in a spec, with their units (`459TFLOP/s`, `95GB`), and are per device as JAX counts devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, Final

from moec.spec.hardware import Calibration, Hardware
from moec.spec.kept import keep, read_kept
from moec.spec.quantities import read_number

HARDWARE_NAMES: Final = (
    "cpu",
    "tpu_v4",
    "tpu_v5e",
    "tpu_v5p",
    "tpu_v6e",
    "tpu_7x",
    "a100",
    "h100",
    "h200",
    "b200",
    "gb200",
    "mi300x",
)


@cache
def hardware(name: str) -> Hardware:
    """The chip called `name`, one of HARDWARE_NAMES."""
    text = Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8")
    with suppress(LookupError, ValueError, TypeError, AttributeError, AssertionError):
        return _build(read_kept(f"hardware-{name}.json", text))
    import yaml  # which takes longer to load than all chips to read

    content = yaml.load(text, yaml.BaseLoader)
    keep(f"hardware-{name}.json", text, content)
    return _build(content)


def parse_hardware(text: str) -> Hardware | str:
    """The chip that a hardware file describes, or what is wrong with the file, in words."""
    import yaml

    if "&" in text:
        return "it has `&`, and anchors are not read"
    try:
        content = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        return f"it is no YAML: {str(error).splitlines()[0]}"
    except RecursionError:
        return "it is nested too deeply"
    wrong = _first_wrong(content)
    return wrong if wrong else _build(content)


def hardware_schema() -> Mapping[str, Any]:
    """The JSON Schema that every hardware file keeps."""
    import json

    schema: dict[str, Any] = json.loads(Path(__file__).with_name("hardware.schema.json").read_text(encoding="utf-8"))
    return schema


def _first_wrong(content: Any) -> str:
    """Where `content` first breaks the schema, "" where it does not."""
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(hardware_schema()).iter_errors(content))
    if error is None:
        return ""
    place = ".".join(str(step) for step in error.absolute_path)
    return f"`{place}`: {error.message[:200]}" if place else error.message[:200]


def _build(content: Mapping[str, Any]) -> Hardware:
    return Hardware(
        name=content["name"],
        title=content["title"],
        platform=content["platform"],
        peak_flops_per_second=_rates(content["peak"]),
        achievable_flops_per_second=_rates(content.get("achievable", {})),
        hbm_bytes=int(_number(content["hbm"])),
        hbm_bytes_per_second=_number(content["hbm_rate"]),
        devices_per_chip=int(content["devices_per_chip"]),
        chips_per_node=int(content["chips_per_node"]),
        link_bytes_per_second=_number(content["link_rate"]),
        links=int(content["links"]),
        network_bytes_per_second=_number(content["network_rate"]),
        topologies=_topologies(content),
        tile=(int(content["tile"][0]), int(content["tile"][1])),
        sources=tuple(f"{figure}: {source}" for figure, source in content["sources"].items()),
        achievable_bytes_per_second=_number(content.get("achievable_hbm_rate", "0GB/s")),
        link_latency_seconds=_number(content.get("link_latency", "0s")),
        network_latency_seconds=_number(content.get("network_latency", "0s")),
        calibration=_calibration(content["calibration"]) if "calibration" in content else None,
    )


def _calibration(content: Mapping[str, Any]) -> Calibration:
    return Calibration(
        operations=_rates(content["operations"]),
        traffic_bytes_per_second=_number(content["traffic"]),
        dispatch_bytes_per_second=_number(content["dispatch"]),
        update_bytes_per_second=_number(content["update"]),
        step_seconds=_number(content["step"]),
        layer_seconds=_number(content["layer"]),
        made_by=content["made_by"],
        error=content["error"],
    )


def _rates(written: Mapping[str, str]) -> Mapping[str, float]:
    return {dtype: _number(rate) for dtype, rate in written.items()}


def _number(text: str) -> float:
    """In base units; the schema has seen to it that `text` is a number with the right suffix."""
    quantity = read_number(text)
    assert quantity is not None, text
    return float(quantity.amount)


def _topologies(content: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """Those that are listed, then all `AxBxC` that the torus allows, by size."""
    listed = tuple(tuple(int(side) for side in shape.split("x")) for shape in content.get("topologies", ()))
    torus = content.get("torus")
    if torus is None:
        return listed
    step, most = int(torus["multiple_of"]), int(torus["most_chips"])
    sides = range(step, most // step**2 + 1, step)
    shapes = [shape for shape in _boxes(sides, most) if shape not in listed]
    return (*listed, *sorted(shapes, key=lambda shape: (shape[0] * shape[1] * shape[2], shape)))


def _boxes(sides: range, most: int) -> list[tuple[int, ...]]:
    boxes: list[tuple[int, ...]] = []
    for small, middle in combinations_with_replacement(sides, 2):
        if small * middle * middle > most:
            continue
        boxes += [(small, middle, large) for large in sides if large >= middle and small * middle * large <= most]
    return boxes
