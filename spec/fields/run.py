"""The fields of `run` and of the blocks inside it."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.types import (
    BlockType,
    BooleanType,
    ChoiceType,
    ListType,
    NumberType,
    count,
    fraction,
    positive,
    weight,
)

REMAT_NAMES: Final = ("attention_out", "ffn_hidden", "ffn_out", "expert_buffer", "expert_hidden", "expert_out")
_NAMED: Final = ListType(ChoiceType(REMAT_NAMES), distinct=True)

BATCH: Final = BlockInfo(
    "run.batch",
    "How many tokens make one step.",
    (
        FieldInfo(
            "tokens",
            count(),
            "Tokens per optimizer step over all devices. It must hold whole sequences, equally many for each device"
            " that takes a share of the batch.",
            "4Mi",
            required=True,
            unit="tokens",
            usually_binary=True,
        ),
        FieldInfo(
            "micro",
            count(words=("auto",)),
            "Tokens of one micro-batch over all devices; gradients are summed over the micro-batches of a step. "
            "`auto` is the largest that fits into memory, and the whole batch where the memory is not known.",
            "1Mi",
            default="auto",
            unit="tokens",
            usually_binary=True,
        ),
    ),
    required=True,
)

OPTIMIZER: Final = BlockInfo(
    "run.optimizer",
    "How gradients become updates.",
    (
        FieldInfo(
            "kind",
            ChoiceType(("adamw", "adafactor", "lion", "muon")),
            "`adamw` keeps two moments per weight, `lion` one, `adafactor` rows and columns. `muon` orthogonalises "
            "the updates of matrices and leaves the rest to Adam.",
            "adamw",
            default="adamw",
        ),
        FieldInfo(
            "peak_lr",
            positive(),
            "The highest learning rate, reached after the warm-up.",
            "1e-3",
            default="3e-4",
        ),
        FieldInfo(
            "weight_decay",
            weight(),
            "Decoupled weight decay, multiplied by the learning rate. Norms and biases are not decayed.",
            "1e-4",
            default="0.1",
        ),
        FieldInfo(
            "b1",
            fraction(),
            "Decay of the first moment, or of `muon`'s momentum.",
            "0.95",
            default="0.9",
            only_when=When("kind", ("adamw", "lion", "muon")),
        ),
        FieldInfo(
            "b2",
            fraction(),
            "Decay of the second moment.",
            "0.98",
            default="0.95",
            only_when=When("kind", ("adamw", "lion", "muon")),
        ),
        FieldInfo(
            "eps",
            positive(),
            "Added to the root of the second moment.",
            "1e-15",
            default="1e-8",
            only_when=When("kind", ("adamw", "muon")),
        ),
        FieldInfo(
            "clip_norm",
            positive(("none",)),
            "Gradients are scaled down to this global norm where they exceed it. `none` leaves them alone.",
            "0.5",
            default="1",
        ),
        FieldInfo(
            "schedule",
            ChoiceType(("cosine", "warmup_stable_decay", "constant")),
            "The course of the learning rate after the warm-up: a half cosine down, a plateau and then a line down,"
            " or level.",
            "warmup_stable_decay",
            default="cosine",
        ),
        FieldInfo(
            "warmup_steps",
            count(0, words=("auto",)),
            "Steps in which the learning rate rises from 0. `auto` takes a hundredth of all steps, at least one.",
            "2_000",
            default="auto",
        ),
        FieldInfo(
            "decay_steps",
            count(words=("auto",)),
            "Steps of the last, falling part. `auto` takes a tenth of all steps.",
            "1_000",
            default="auto",
            only_when=When("schedule", ("warmup_stable_decay",)),
        ),
        FieldInfo(
            "final_lr_ratio",
            NumberType(whole=False, minimum=0, maximum=1),
            "The last learning rate, as a share of `peak_lr`.",
            "0",
            default="0.1",
            only_when=When("schedule", ("cosine", "warmup_stable_decay")),
        ),
    ),
)

REMAT: Final = BlockInfo(
    "run.remat",
    "What the backward pass computes again instead of keeping.",
    (
        FieldInfo(
            "policy",
            ChoiceType(("none", "full", "save_dots", "names", "auto")),
            "`none` keeps everything, `full` only what goes into each layer, `save_dots` the results of matrix "
            "products. `names` keeps what `save` and `offload` say; `auto` takes the fastest that fits into memory.",
            "save_dots",
            default="none",
        ),
        FieldInfo(
            "save",
            _NAMED,
            "Activations that are kept on the device.",
            "[attention_out, ffn_out]",
            default="[]",
            only_when=When("policy", ("names",)),
        ),
        FieldInfo(
            "offload",
            _NAMED,
            "Activations that are kept in the memory of the host.",
            "[ffn_hidden]",
            default="[]",
            only_when=When("policy", ("names",)),
        ),
    ),
)

CHECKPOINT: Final = BlockInfo(
    "run.checkpoint",
    "When the state of training is saved.",
    (
        FieldInfo(
            "every_steps",
            count(0),
            "Steps between checkpoints. The last step is always saved; 0 saves nothing else.",
            "5_000",
            default="1_000",
            unit="steps",
        ),
        FieldInfo("keep", count(), "How many of the newest checkpoints are kept.", "5", default="3"),
    ),
)

GUARD: Final = BlockInfo(
    "run.guard",
    "Which steps are not taken: those whose loss or gradient is not finite, and those that spike.",
    (
        FieldInfo(
            "spike",
            positive(("none",)),
            "A step is skipped where its loss or the norm of its gradient lies more than this many standard deviations "
            "above the mean of the newest accepted steps. `none` takes whatever is finite.",
            "6",
            default="none",
        ),
        FieldInfo(
            "window",
            count(2, 65_536),
            "How many of the newest accepted steps say what is usual. Nothing is a spike before half as many.",
            "256",
            default="128",
            unit="steps",
            only_when=When("spike", not_words=("none",)),
        ),
        FieldInfo(
            "max_skips",
            count(),
            "So many skipped steps in a row end the run.",
            "20",
            default="10",
            unit="steps",
        ),
    ),
)

EVAL: Final = BlockInfo(
    "run.eval",
    "When held-out loss is measured.",
    (
        FieldInfo(
            "every_steps",
            count(0),
            "Steps between evaluations. 0 evaluates only at the end.",
            "500",
            default="0",
            unit="steps",
        ),
        FieldInfo(
            "tokens",
            count(),
            "Held-out tokens that are read per evaluation, at most.",
            "1Mi",
            default="64Ki",
            unit="tokens",
            usually_binary=True,
        ),
    ),
)

LAYERS: Final = BlockInfo(
    "run.layers",
    "How the program writes its layers.",
    (
        FieldInfo(
            "scan",
            BooleanType(("auto",)),
            "Runs equal layers in a loop with stacked weights, which compiles fast, instead of one after another. "
            "`auto` decides by depth and hardware; the plan says how.",
            "false",
            default="auto",
        ),
    ),
)

RUN: Final = BlockInfo(
    "run",
    "One training run: a model on a mesh for a budget. Asserts in it hold over anything in its plan.",
    (
        FieldInfo("model", BlockType("model"), "The model to train.", "dense", required=True),
        FieldInfo("mesh", BlockType("mesh"), "The devices to train on.", "laptop", required=True),
        FieldInfo(
            "data",
            BlockType("data"),
            "The text to train on.",
            "code",
            absent="the run can be planned, compiled and proven, not trained",
        ),
        FieldInfo("budget", BlockType("budget"), "How long to train.", "small", required=True),
        FieldInfo(
            "seed",
            count(0, 2**32 - 1),
            "Seed of the weights and of everything random in training, but for the order of the data.",
            "1",
            default="0",
        ),
    ),
    (BATCH, OPTIMIZER, REMAT, CHECKPOINT, GUARD, EVAL, LAYERS),
)
