"""The fields of `mesh` and of the block inside it."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.types import HardwareType, TopologyType, count

_AXIS: Final = count(words=("auto",))

AXES: Final = BlockInfo(
    "mesh.axes",
    "How the devices are laid out. The product of the axes is the number of devices. One `auto` axis is what the "
    "others leave over; among several the planner chooses by predicted step time.",
    (
        FieldInfo(
            "data", _AXIS, "Replicas: each takes its share of the batch and keeps all weights.", "auto", default="1"
        ),
        FieldInfo(
            "fsdp",
            _AXIS,
            "Takes a share of the batch, and keeps only a part of each weight, its gradient and its optimizer "
            "state. Weights are gathered when they are used.",
            "16",
            default="1",
        ),
        FieldInfo(
            "expert",
            _AXIS,
            "Takes a share of the batch, and keeps only a part of the experts. Tokens travel to their experts and "
            "back in two all-to-alls.",
            "16",
            default="1",
        ),
        FieldInfo(
            "seq",
            _AXIS,
            "Splits each sequence. Keys and values are gathered for attention.",
            "4",
            default="1",
        ),
        FieldInfo(
            "model",
            _AXIS,
            "Splits heads and hidden layers (tensor parallelism). Every block ends in a sum over it, so it wants "
            "the fastest links.",
            "8",
            default="1",
        ),
    ),
)

MESH: Final = BlockInfo(
    "mesh",
    "The devices that a run is for, and how work is spread over them.",
    (
        FieldInfo(
            "hardware",
            HardwareType(),
            "The kind of chip, or the path of a hardware file of your own, beside the spec. It gives peak rates, "
            "memory and links.",
            "tpu_v5p",
            required=True,
        ),
        FieldInfo(
            "devices",
            count(),
            "Devices over all slices, as JAX counts them. It follows from `topology` where that is written.",
            "8",
            absent="the devices of `topology`, over all `slices`",
        ),
        FieldInfo(
            "topology",
            TopologyType(),
            "The shape of one slice in chips, for hardware that is sold in shapes.",
            "8x8x8",
            absent="where the hardware is sold in shapes, the most cube-like one with that many `devices`",
        ),
        FieldInfo(
            "slices",
            count(),
            "Slices of the same shape, joined by the slower data-centre network.",
            "2",
            default="1",
        ),
    ),
    (AXES,),
    at_least_one=("devices", "topology"),
)
