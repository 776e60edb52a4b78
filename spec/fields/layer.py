"""The fields of what a layer consists of: `model.attention`, `model.ffn`, `model.experts`."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.types import BooleanType, ChoiceType, NumberType, count, positive, weight

_ACTIVATIONS: Final = ChoiceType(("swiglu", "geglu", "gelu", "relu2"))
PLACEMENTS: Final = ChoiceType(("pre", "post", "hybrid"))

ATTENTION: Final = BlockInfo(
    "model.attention",
    "Causal self-attention with rotary positions. It is in every layer, and the same in all of them.",
    (
        FieldInfo(
            "n_heads",
            count(),
            "Query heads. With `d_head` it gives the width of attention, `n_heads * d_head`, which need not be "
            "`d_model`.",
            "32",
            required=True,
        ),
        FieldInfo(
            "n_kv_heads",
            count(),
            "Key and value heads; query heads share them in equal groups. Fewer than `n_heads` is grouped-query "
            "attention, 1 is multi-query attention.",
            "8",
            default="n_heads",
        ),
        FieldInfo(
            "d_head",
            count(),
            "Width of one head. It must be even, since rotary positions turn pairs of entries.",
            "128",
            default="d_model // n_heads",
        ),
        FieldInfo(
            "qk_norm",
            BooleanType(),
            "Normalises queries and keys per head with RMSNorm before the rotation. It keeps the scores of large "
            "models from growing, at the cost of two vectors of `d_head` weights per layer.",
            "true",
            default="false",
        ),
        FieldInfo(
            "rope_theta",
            NumberType(whole=False, above=1),
            "Base of the rotary angles: pair `i` turns by `rope_theta ** (-2i / d_head)` per position. Longer "
            "sequences want larger bases.",
            "500_000",
            default="10_000",
        ),
        FieldInfo(
            "window",
            count(words=("none",)),
            "How many positions a token sees, itself included. `none` lets it see all that came before.",
            "4Ki",
            default="none",
            unit="tokens",
            usually_binary=True,
        ),
        FieldInfo(
            "bias",
            BooleanType(),
            "Adds a bias to the query, key, value and output projections. Most current models have none.",
            "true",
            default="false",
        ),
        FieldInfo(
            "softcap",
            positive(("none",)),
            "Caps the scores smoothly: `softcap * tanh(score / softcap)`. `none` leaves them alone.",
            "50",
            default="none",
        ),
        FieldInfo(
            "kernel",
            ChoiceType(("auto", "reference", "blockwise", "cudnn", "splash")),
            "How attention is computed. `auto` takes the fastest one that the hardware and the other fields allow; "
            "the plan says which: `cudnn` on NVIDIA GPUs, `splash` on TPUs, each where it can run the model, else "
            "`blockwise`.",
            "blockwise",
            default="auto",
        ),
        FieldInfo(
            "max_documents",
            count(words=("auto", "none")),
            "How many documents of a sequence the kernel `cudnn` is told by their lengths, padding counted as one; a "
            "batch with more in a sequence goes by a mask, as all do with `none`. By lengths attention takes a quarter "
            "to a half of the time, and memory grows with this number. Needs that kernel, a Hopper GPU or newer, and "
            "no `window`; there `auto` is 16.",
            "8",
            default="auto",
        ),
    ),
    required=True,
)

FFN: Final = BlockInfo(
    "model.ffn",
    "The feed-forward block of the layers without experts. A model in which every layer has experts may leave it out.",
    (
        FieldInfo(
            "d_ff",
            count(),
            "Width of the hidden layer. Gated activations have two matrices of this width going in, the others one.",
            "4 * d_model",
            required=True,
        ),
        FieldInfo(
            "activation",
            _ACTIVATIONS,
            "`swiglu` and `geglu` are gated: `act(x W_gate) * (x W_up)`. `gelu` and `relu2` (the square of relu) "
            "are not.",
            "swiglu",
            default="swiglu",
        ),
        FieldInfo(
            "norm",
            PLACEMENTS,
            "Where this block is normalised, if elsewhere than `norm.placement` says. `hybrid` normalises both what"
            " goes in and what comes out, before it is added.",
            "hybrid",
            default="norm.placement",
        ),
        FieldInfo(
            "bias",
            BooleanType(),
            "Adds a bias to each matrix of the block. Most current models have none.",
            "true",
            default="false",
        ),
    ),
    optional_as_a_whole=True,
)

EXPERTS: Final = BlockInfo(
    "model.experts",
    "Replaces the feed-forward block of some layers by a mixture of experts. A router in float32 sends each token "
    "to `top_k` of `n_experts`, and their outputs are summed with its weights.",
    (
        FieldInfo(
            "n_experts",
            count(2),
            "Experts per layer. The `expert` mesh axis must divide it.",
            "64",
            required=True,
        ),
        FieldInfo(
            "top_k",
            count(),
            "Experts that each token is sent to. It has no default, since it sets how much each token costs.",
            "2",
            required=True,
        ),
        FieldInfo(
            "d_ff",
            count(),
            "Width of the hidden layer of *one* expert. Shared experts have the same width.",
            "1_408",
            required=True,
        ),
        FieldInfo(
            "activation",
            _ACTIVATIONS,
            "As in `ffn`, for the experts. It follows `ffn.activation` unless it is written.",
            "swiglu",
            default="ffn.activation",
        ),
        FieldInfo(
            "bias",
            BooleanType(),
            "Adds a bias to each matrix of each expert. It follows `ffn.bias` unless it is written.",
            "true",
            default="ffn.bias",
        ),
        FieldInfo(
            "norm",
            PLACEMENTS,
            "Where the expert block is normalised. It follows `ffn.norm` unless it is written.",
            "pre",
            default="ffn.norm",
        ),
        FieldInfo(
            "every",
            count(),
            "Every how many layers there are experts: with `every = 2` in layers 2, 4, … and with `every = 1` in "
            "all. `offset` shifts the pattern.",
            "2",
            default="1",
        ),
        FieldInfo(
            "offset",
            count(0),
            "A layer has experts where its number, counted from 1, leaves `offset` when divided by `every`. With "
            "`every = 2`, 0 is layers 2, 4, … and 1 is layers 1, 3, ….",
            "1",
            default="0",
        ),
        FieldInfo(
            "first_dense",
            count(0),
            "How many of the first layers have no experts, whatever `every` says. Routing in the very first layers "
            "tends to be unstable.",
            "1",
            default="0",
        ),
        FieldInfo(
            "n_shared_experts",
            count(0),
            "Experts that every token passes through, besides its `top_k`. They are computed as one feed-forward "
            "block of width `n_shared_experts * d_ff`.",
            "1",
            default="0",
        ),
        FieldInfo(
            "score",
            ChoiceType(("softmax", "sigmoid")),
            "How the router turns logits into weights. `softmax` makes experts compete; `sigmoid` scores each by "
            "itself.",
            "sigmoid",
            default="softmax",
        ),
        FieldInfo(
            "order",
            ChoiceType(("topk_then_score", "score_then_topk")),
            "Whether the `top_k` are picked before or after scoring. With `softmax`, scoring after the choice makes"
            " the weights of a token sum to 1.",
            "topk_then_score",
            default="score_then_topk",
        ),
        FieldInfo(
            "renormalize",
            BooleanType(),
            "Divides the weights of a token's chosen experts by their sum. With `top_k = 1` that would make every "
            "weight 1 and leave the router untrained, so it is off there.",
            "false",
            default="top_k > 1",
        ),
        FieldInfo(
            "scale",
            positive(),
            "A constant factor on the summed output of the routed experts. Models with many small sigmoid-scored "
            "experts use it.",
            "2.5",
            default="1",
        ),
        FieldInfo(
            "capacity_factor",
            positive(("dropless",)),
            "Slots per expert and choice, relative to an even load: an expert takes `ceil(top_k * group_size * "
            "capacity_factor / n_experts)` tokens of a group and drops the rest. `dropless` drops none, for more "
            "work and traffic in the worst case.",
            "1.25",
            required=True,
        ),
        FieldInfo(
            "group_size",
            count(),
            "Tokens that compete for the slots of an expert. Groups never span devices, so what is dropped does not"
            " depend on the mesh.",
            "4Ki",
            default="seq_len",
            only_when=When("capacity_factor", not_words=("dropless",)),
            unit="tokens",
            usually_binary=True,
        ),
        FieldInfo(
            "balance_loss",
            weight(),
            "Weight of the load-balancing loss in the objective (the form of Switch Transformer, over the global "
            "batch). It has no default; 0 is allowed and means none.",
            "0.01",
            default="0",
            required=True,
            unless="bias_update_rate",
        ),
        FieldInfo(
            "z_loss",
            weight(),
            "Weight of the mean squared log-sum-exp of the router's logits in the objective. It keeps the logits "
            "small.",
            "0.001",
            default="0",
        ),
        FieldInfo(
            "bias_update_rate",
            weight(),
            "Step by which a per-expert bias, used for the choice alone, moves against the load after each step. It"
            " balances without a loss; 0 is off.",
            "0.001",
            default="0",
        ),
        FieldInfo(
            "dispatch",
            ChoiceType(("auto", "sorted", "onehot", "all_gather")),
            "How tokens get to their experts. `auto` chooses by mesh and capacity; the plan says which and why.",
            "sorted",
            default="auto",
        ),
        FieldInfo(
            "grouped_matmul",
            ChoiceType(("auto", "reference", "batched", "tiles", "megablox", "mosaic_gpu", "triton")),
            "How the experts' matrices are multiplied. `auto` chooses by hardware and capacity; the plan says which"
            " and why. `megablox` is for TPUs, `mosaic_gpu` for Hopper GPUs, `triton` for any NVIDIA GPU.",
            "batched",
            default="auto",
        ),
    ),
    optional_as_a_whole=True,
)
