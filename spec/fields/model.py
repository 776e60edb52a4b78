"""The fields of `model`, and of the blocks in it that hold for every layer; layer.py has the layer's own."""

from __future__ import annotations

from typing import Final

from moec.spec.fields.depth_routing import DEPTH_ROUTING
from moec.spec.fields.info import BlockInfo, FieldInfo, When
from moec.spec.fields.layer import ATTENTION, EXPERTS, FFN, PLACEMENTS
from moec.spec.fields.types import BooleanType, ChoiceType, count, positive, weight

_DTYPES: Final = ChoiceType(("float32", "bfloat16"))

NORM: Final = BlockInfo(
    "model.norm",
    "How activations are normalised.",
    (
        FieldInfo(
            "kind",
            ChoiceType(("rmsnorm", "layernorm")),
            "`rmsnorm` divides by the root mean square and scales. `layernorm` also takes the mean away and adds a "
            "bias.",
            "layernorm",
            default="rmsnorm",
        ),
        FieldInfo(
            "placement",
            PLACEMENTS,
            "`pre` normalises what goes into each block, `post` the sum after it. `hybrid` normalises what goes in "
            "and what comes out, before the sum.",
            "hybrid",
            default="pre",
        ),
        FieldInfo(
            "eps",
            positive(),
            "Added under the square root. It guards against division by zero.",
            "1e-6",
            default="1e-5",
        ),
    ),
)

INIT: Final = BlockInfo(
    "model.init",
    "How weights are drawn at the start.",
    (
        FieldInfo(
            "kind",
            ChoiceType(("fan_in", "normal")),
            "`fan_in` draws each matrix with standard deviation `1 / sqrt(fan-in)`. `normal` uses `std` for all of "
            "them.",
            "normal",
            default="fan_in",
        ),
        FieldInfo(
            "std",
            positive(),
            "Standard deviation of every matrix.",
            "0.006",
            default="0.02",
            only_when=When("kind", ("normal",)),
        ),
        FieldInfo(
            "embedding_std",
            positive(),
            "Standard deviation of the embedding table. With tied embeddings it also sets the scale of the first "
            "logits.",
            "1",
            default="0.02",
        ),
        FieldInfo(
            "depth_scaled",
            BooleanType(),
            "Divides the output projections of attention and feed-forward blocks by `sqrt(2 * n_layers)`. It keeps "
            "the residual stream from growing with depth.",
            "false",
            default="true",
        ),
    ),
)

DTYPE: Final = BlockInfo(
    "model.dtype",
    "The number formats. The router, the loss and the optimizer are in float32 whatever is written here.",
    (
        FieldInfo(
            "params",
            _DTYPES,
            "In what the weights are kept. `bfloat16` halves their memory and loses small updates.",
            "float32",
            default="float32",
        ),
        FieldInfo(
            "compute",
            _DTYPES,
            "In what matrices are multiplied. On TPUs and GPUs `bfloat16` is several times as fast.",
            "bfloat16",
            default="float32",
        ),
        FieldInfo(
            "logits",
            _DTYPES,
            "In what the logits over the vocabulary are computed. The loss reads them in float32.",
            "bfloat16",
            default="float32",
        ),
    ),
)

MODEL: Final = BlockInfo(
    "model",
    "A decoder-only transformer, dense or with a mixture of experts in some layers. It needs `ffn`, `experts`, or "
    "both.",
    (
        FieldInfo(
            "scale",
            ChoiceType(("written", "auto")),
            "`auto` takes the widths, depth and heads that are written as proportions, and chooses how large the model "
            "is: the size that `budget.law` gives for `budget.train_flops`, from shapes that the chip likes.",
            "auto",
            default="written",
        ),
        FieldInfo(
            "vocab_size",
            count(2),
            "Rows of the embedding table. It must not be smaller than the tokenizer's vocabulary: 256 for `bytes`.",
            "32Ki",
            required=True,
        ),
        FieldInfo(
            "seq_len",
            count(),
            "Tokens in one training sequence. Attention sees at most this far.",
            "4Ki",
            required=True,
            unit="tokens",
            usually_binary=True,
        ),
        FieldInfo(
            "n_layers",
            count(),
            "Layers, each attention and then a feed-forward block or experts. Embedding and head do not count.",
            "12",
            required=True,
        ),
        FieldInfo(
            "d_model",
            count(),
            "Width of the residual stream. Every block reads and writes vectors of this width.",
            "768",
            required=True,
        ),
        FieldInfo(
            "tie_embeddings",
            BooleanType(),
            "Uses the embedding table as the output head as well. That saves `vocab_size * d_model` parameters.",
            "true",
            default="false",
        ),
        FieldInfo(
            "logits_softcap",
            positive(("none",)),
            "Caps the logits smoothly: `logits_softcap * tanh(logit / logits_softcap)`. `none` leaves them alone.",
            "30",
            default="none",
        ),
        FieldInfo(
            "logits_z_loss",
            weight(),
            "Weight of the mean squared log-sum-exp of the logits in the objective. It keeps the logits from drifting.",
            "1e-4",
            default="0",
        ),
    ),
    (ATTENTION, FFN, EXPERTS, DEPTH_ROUTING, NORM, INIT, DTYPE),
    at_least_one=("ffn", "experts"),
)
