"""The fields of `budget`."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.types import MAX_REAL, BlockType, ChoiceType, NumberType, count, fraction, positive, weight
from moec.spec.values import FLOPS, SECONDS

HOUR_SECONDS: Final = 3600

LAWS: Final = ("chinchilla", "hoffmann", "besiroglu", "joint_moe", "krajewski", "clark", "abnar", "frantar", "yun")
RATIO_FREE: Final = NumberType(whole=False)


def _coefficient(name: str, doc: str, example: str, number: NumberType) -> FieldInfo:
    return FieldInfo(name, number, doc, example, required=True)


COEFFICIENTS: Final = BlockInfo(
    "budget.coefficients",
    "Your own coefficients of the law `yun`, `ln L = ln(a / N**alpha + b / E_hat**beta + c / D**gamma + f) + "
    "d ln(N) ln(E_hat)`. Its paper prints none.",
    (
        _coefficient("a", "Scale of the part that parameters take away.", "500", weight()),
        _coefficient("alpha", "Power of the parameters.", "0.35", positive()),
        _coefficient("b", "Scale of the part that experts take away.", "1", weight()),
        _coefficient("beta", "Power of the experts.", "0.5", positive()),
        _coefficient("c", "Scale of the part that tokens take away.", "400", positive()),
        _coefficient("gamma", "Power of the tokens.", "0.28", positive()),
        _coefficient("f", "What no model takes away.", "1.5", weight()),
        _coefficient(
            "d",
            "How parameters and experts act on each other; below 0 where experts help large ones more.",
            "-0.001",
            RATIO_FREE,
        ),
        _coefficient("e_start", "E_hat of a dense model.", "2", positive()),
        _coefficient("e_max", "What E_hat never passes.", "300", positive()),
    ),
    optional_as_a_whole=True,
)

BUDGET: Final = BlockInfo(
    "budget",
    "How long to train. Exactly one of `tokens`, `steps`, `train_flops`, `hours` and `law` is written; the others "
    "follow. `train_flops` and `law` together are for a model with `scale = auto`.",
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
            ChoiceType(LAWS),
            "A scaling law that sets the tokens from the number of parameters. `moec explain law` tells what each "
            "says, what it counts, and where it was fitted. With `train_flops` and `scale = auto` it sets the size, "
            "too.",
            "chinchilla",
            absent="no law is asked",
        ),
        FieldInfo(
            "count",
            ChoiceType(("active", "total", "dense_equivalent", "total_non_embedding", "nonzero", "step_time")),
            "Which parameters the law sees: those that one token uses, all, those of the dense model of equal FLOPs, "
            "all but the embeddings, or those that `sparsity` leaves. A law of mixtures takes only the count that it "
            "was fitted with. `step_time` sees the dense run `equal_to`, and trains for as many predicted seconds as "
            "that one does. It has no default, since dense laws were fitted where all of these agree.",
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
        FieldInfo(
            "equal_to",
            BlockType("run"),
            "The dense run that `count = step_time` measures against. It may have the same budget.",
            "baseline",
            required=True,
            only_when=When("count", ("step_time",)),
        ),
        FieldInfo(
            "sparsity",
            fraction(),
            "The share of weights that are pruned away, for `frantar`.",
            "0.5",
            required=True,
            only_when=When("law", ("frantar",)),
        ),
        FieldInfo(
            "max_sparsity",
            fraction(),
            "The largest share of experts that a token may leave out, for `abnar`: without a bound that law always "
            "takes the sparsest model.",
            "0.95",
            required=True,
            only_when=When("law", ("abnar",)),
        ),
    ),
    (COEFFICIENTS,),
    exactly_one=("tokens", "steps", "train_flops", "hours", "law"),
    may_pair=("train_flops", "law"),
)
