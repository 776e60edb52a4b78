"""The fields of `budget`."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.types import MAX_REAL, ChoiceType, NumberType, count, positive
from moec.spec.values import FLOPS, SECONDS

HOUR_SECONDS: Final = 3600

BUDGET: Final = BlockInfo(
    "budget",
    "How long to train. Exactly one of `tokens`, `steps`, `train_flops`, `hours` and `law` is written; the others "
    "follow.",
    (
        FieldInfo(
            "tokens",
            count(),
            "Tokens to train on. They are rounded up to whole steps.",
            "20B",
            unit="tokens",
            absent="it follows",
        ),
        FieldInfo("steps", count(), "Optimizer steps.", "10_000", absent="it follows"),
        FieldInfo(
            "train_flops",
            NumberType(dimension=FLOPS, bare=1, minimum=1, maximum=MAX_REAL),
            "FLOPs to spend, by the ideal count of the plan: 3 times the forward pass, nothing for padding or "
            "re-computation.",
            "1e21",
            unit="FLOP",
            absent="it follows",
        ),
        FieldInfo(
            "hours",
            NumberType(whole=False, dimension=SECONDS, bare=HOUR_SECONDS, above=0),
            "Time to train, by the estimated step time. A plain number counts hours; `90min` and `3d` work too.",
            "12",
            unit="hours",
            absent="it follows",
        ),
        FieldInfo(
            "law",
            ChoiceType(("chinchilla", "hoffmann", "besiroglu")),
            "A scaling law that sets the tokens from the number of parameters. `moec explain law` tells what each "
            "says, and where it was fitted.",
            "chinchilla",
            absent="no law is asked",
        ),
        FieldInfo(
            "count",
            ChoiceType(("active", "total", "dense_equivalent")),
            "Which parameters the law sees: those that one token uses, all, or those of the dense model of equal "
            "FLOPs. It has no default, since laws were fitted on dense models, where they agree.",
            "active",
            required=True,
            only_when=When("law"),
        ),
        FieldInfo(
            "tokens_per_param",
            positive(),
            "Tokens per parameter, for `chinchilla`.",
            "20",
            only_when=When("law"),
            absent="20 with `chinchilla`, none with the other laws",
        ),
    ),
    exactly_one=("tokens", "steps", "train_flops", "hours", "law"),
)
