"""The fields of `model.depth_routing`: which layers take only some tokens of a sequence, and how many."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo
from moec.spec.fields.types import NumberType, count, positive

DEPTH_ROUTING: Final = BlockInfo(
    "model.depth_routing",
    "Lets some layers work on a part of each sequence alone (Mixture of Depths, arXiv 2404.02258). A router in float32 "
    "scores every token; the best go through attention and feed-forward, which see nothing else, and what they add is "
    "weighted with the score. The others pass by. While training the best of the sequence are taken; evaluation and "
    "generation, which cannot look ahead, take each token whose score is above 0.",
    (
        FieldInfo(
            "capacity",
            NumberType(whole=False, above=0, maximum=1),
            "The fraction of a sequence that a routed layer takes while training; it must come to a whole number of "
            "tokens. It has no default, since it sets what a layer costs.",
            "0.125",
            required=True,
        ),
        FieldInfo(
            "every",
            count(),
            "Every how many layers one is routed: with `every = 2` layers 2, 4, …, as in the paper, and with `every = "
            "1` all. `offset` shifts the pattern.",
            "3",
            default="2",
        ),
        FieldInfo(
            "offset",
            count(0),
            "A layer is routed where its number, counted from 1, leaves `offset` when divided by `every`. With "
            "`every = 2`, 0 is layers 2, 4, … and 1 is layers 1, 3, ….",
            "1",
            default="0",
        ),
        FieldInfo(
            "aux_loss",
            positive(),
            "Weight in the objective of the binary cross-entropy that teaches each router to score what is taken above "
            "0 and the rest below. Generation decides by it, so it cannot be 0.",
            "0.001",
            default="0.01",
        ),
    ),
    optional_as_a_whole=True,
)
