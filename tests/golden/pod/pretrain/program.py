"""Run `pretrain`: model `switch_base` on mesh `v5p_512`.

12 layers of width 1,536; 128 experts of width 6,144 in layers 2, 4, ..., 12, 2 of them per token.
22,077,958,656 parameters, 674,425,344 of them active per token. 512 devices (tpu_v5p). 13,488,881,664 tokens:
1,608 steps of 8,388,608.

Written by moec 0.1.0 from the resolved.moe beside it; line numbers in comments are that file's.
It is yours: read it, change it, keep it. It needs jax, flax, optax, orbax and moec.runtime.
Hash of its other lines: sha256:17e521ea8cd9326047be2cd6a4572e61f527c53c76ff2cda9b9a82133c28c7c7

    python program.py train | eval | generate | prove (each with --help)
"""

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P
from moec.runtime.attention import KeyValues, attend, merge_heads, rope, split_heads
from moec.runtime.batch import Batch, Objective, RouterReport, objective_of
from moec.runtime.experts import apply_experts, report_routing, route
from moec.runtime.feed_forward import project, project_out, swiglu
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, LayersOutput, ModelOutput, run_layers, scan_layers
from moec.runtime.losses import cross_entropy
from moec.runtime.main import main
from moec.runtime.mesh import MeshShape, constrain
from moec.runtime.norms import rms_norm
from moec.runtime.optimizers import decay_mask
from moec.runtime.program import Checkpoints, Evaluation, Expectations, Guard, Program, Training
from moec.runtime.tables import embed

# 512 devices (tpu_v5p of topology 8x8x8) = data 2 x fsdp 16 x expert 16 x seq 1 x model 1 (resolved.moe:75)
MESH = MeshShape(hardware="tpu_v5p", data=2, fsdp=16, expert=16, seq=1, model=1)

# What flows between blocks: sequences over data, fsdp and expert, positions over seq, width over model.
RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")  # [B/(data, fsdp, expert), S/seq, D/model]


class Attention(nnx.Module):
    """Causal attention: 12 query heads and 12 key-value heads of width 128, rotary positions, queries and keys
    normalised per head (resolved.moe:12).
    """

    def __init__(self, init: Initializer) -> None:
        self.w_q = init.normal((1536, 12, 128), P("fsdp", "model", None), std=0.0255155)  # [D/fsdp, N/model, H]
        self.w_k = init.normal((1536, 12, 128), P("fsdp", "model", None), std=0.0255155)  # [D/fsdp, G/model, H]
        self.w_v = init.normal((1536, 12, 128), P("fsdp", "model", None), std=0.0255155)  # [D/fsdp, G/model, H]
        self.w_o = init.normal((12, 128, 1536), P("model", None, "fsdp"), std=0.00520833)  # [N/model, H, D/fsdp]
        self.q_norm = init.ones((128,), P(None))  # [H]
        self.k_norm = init.ones((128,), P(None))  # [H]

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> tuple[jax.Array, KeyValues | None]:
        q_BSNH = rms_norm(split_heads(x_BSD, self.w_q), self.q_norm, eps=1e-5)
        q_BSNH = rope(q_BSNH, batch.positions_BS, theta=500_000.0)
        k_BSGH = rms_norm(split_heads(x_BSD, self.w_k), self.k_norm, eps=1e-5)
        k_BSGH = rope(k_BSGH, batch.positions_BS, theta=500_000.0)
        v_BSGH = split_heads(x_BSD, self.w_v)
        mixed_BSNH, cache = attend(q_BSNH, k_BSGH, v_BSGH, batch, cache, kernel="splash")
        return constrain(merge_heads(mixed_BSNH, self.w_o), RESIDUAL), cache


class Ffn(nnx.Module):
    """SwiGLU feed-forward layer of width 6,144 (resolved.moe:24)."""

    def __init__(self, init: Initializer) -> None:
        self.w_gate = init.normal((1536, 6144), P("fsdp", "model"), std=0.0255155)  # [D/fsdp, F/model]
        self.w_up = init.normal((1536, 6144), P("fsdp", "model"), std=0.0255155)  # [D/fsdp, F/model]
        self.w_down = init.normal((6144, 1536), P("model", "fsdp"), std=0.00260417)  # [F/model, D/fsdp]

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        gate_BSF = project(x_BSD, self.w_gate)
        up_BSF = project(x_BSD, self.w_up)
        hidden_BSF = swiglu(gate_BSF, up_BSF)
        return constrain(project_out(hidden_BSF, self.w_down), RESIDUAL)


class Experts(nnx.Module):
    """128 SwiGLU experts of width 6,144; each token goes to 2 of them, weighted by the softmax of all 128 logits,
    made to sum to 1 (resolved.moe:30).
    """

    def __init__(self, init: Initializer) -> None:
        self.w_router = init.normal((1536, 128), P(None, None), std=0.0255155)  # [D, E]
        # [E/expert, D/fsdp, F/model]
        self.w_gate = init.normal((128, 1536, 6144), P("expert", "fsdp", "model"), std=0.0255155)
        # [E/expert, D/fsdp, F/model]
        self.w_up = init.normal((128, 1536, 6144), P("expert", "fsdp", "model"), std=0.0255155)
        # [E/expert, F/model, D/fsdp]
        self.w_down = init.normal((128, 6144, 1536), P("expert", "model", "fsdp"), std=0.00260417)

    def __call__(self, x_BSD: jax.Array, batch: Batch) -> tuple[jax.Array, RouterReport]:
        routing = route(
            x_BSD, self.w_router, batch, top_k=2, score="softmax", order="score_then_topk", renormalize=True
        )
        # capacity: ceil(top_k * group_size * capacity_factor / n_experts) = ceil(2 * 8,192 * 1 / 128) is 128 slots per
        # expert and group, 2 per token (resolved.moe:45)
        y_BSD, dropped = apply_experts(
            x_BSD,
            routing,
            w_gate=self.w_gate,
            w_up=self.w_up,
            w_down=self.w_down,
            activation="swiglu",
            group_size=8192,
            capacity=128,
            dispatch="sorted",
            grouped_matmul="batched",
        )
        return constrain(y_BSD, RESIDUAL), report_routing(routing, dropped)


class DenseBlock(nnx.Module):
    """Layers 1, 3, ..., 11: attention, normalised before, and feed-forward, normalised before and after
    (resolved.moe:7).
    """

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((1536,), P(None))  # [D]
        self.attention = Attention(init)
        self.ffn_norm = init.ones((1536,), P(None))  # [D]
        self.ffn_norm_after = init.ones((1536,), P(None))  # [D]
        self.ffn = Ffn(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        normed_BSD = rms_norm(x_BSD, self.attention_norm, eps=1e-5)
        mixed_BSD, cache = self.attention(normed_BSD, batch, cache)
        x_BSD = x_BSD + mixed_BSD
        normed_BSD = rms_norm(x_BSD, self.ffn_norm, eps=1e-5)
        x_BSD = x_BSD + rms_norm(self.ffn(normed_BSD), self.ffn_norm_after, eps=1e-5)
        return BlockOutput(x_BSD, cache, None)


class MoeBlock(nnx.Module):
    """Layers 2, 4, ..., 12: attention, normalised before, and experts, normalised before and after
    (resolved.moe:37).
    """

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((1536,), P(None))  # [D]
        self.attention = Attention(init)
        self.experts_norm = init.ones((1536,), P(None))  # [D]
        self.experts_norm_after = init.ones((1536,), P(None))  # [D]
        self.experts = Experts(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        normed_BSD = rms_norm(x_BSD, self.attention_norm, eps=1e-5)
        mixed_BSD, cache = self.attention(normed_BSD, batch, cache)
        x_BSD = x_BSD + mixed_BSD
        normed_BSD = rms_norm(x_BSD, self.experts_norm, eps=1e-5)
        y_BSD, report = self.experts(normed_BSD, batch)
        x_BSD = x_BSD + rms_norm(y_BSD, self.experts_norm_after, eps=1e-5)
        return BlockOutput(x_BSD, cache, report)


class Period(nnx.Module):
    """2 layers, repeated 6 times from layer 1 on."""

    def __init__(self, init: Initializer) -> None:
        self.blocks = nnx.List(
            [
                DenseBlock(init.layer(1)),
                MoeBlock(init.layer(2)),
            ]
        )

    def __call__(self, x_BSD: jax.Array, batch: Batch, caches: tuple[KeyValues, ...] | None) -> LayersOutput:
        return run_layers(self.blocks, x_BSD, batch, caches)


class Model(nnx.Module):
    """Decoder-only transformer: embedding, 12 blocks, final norm, the embedding as head (resolved.moe:3)."""

    def __init__(self, init: Initializer) -> None:
        self.w_embed = init.normal((32_768, 1536), P("model", "fsdp"), std=0.02)  # [V/model, D/fsdp]
        self.periods = init.stacked(Period, repeats=6, layers=2, first=1)
        self.final_norm = init.ones((1536,), P(None))  # [D]

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype=jnp.bfloat16), RESIDUAL)
        # Computes in bfloat16; the backward pass keeps the results of matmuls and computes the rest again
        # (resolved.moe:112)
        x_BSD, caches, routers = scan_layers(self.periods, x_BSD, batch, caches, remat="save_dots")
        return ModelOutput(rms_norm(x_BSD, self.final_norm, eps=1e-5), caches, routers)

    def head_DV(self) -> jax.Array:
        """The matrix from hidden states to logits, which is the embedding's transpose."""
        return self.w_embed[...].T


def objective(model: Model, batch: Batch) -> Objective:
    """Cross-entropy + 0.01 x balance loss; the last is the mean over 6 MoE layers (resolved.moe:47)."""
    hidden_BSD, _, routers = model(batch)
    # Logits of 512 positions of every sequence at a time. cross_entropy_chunk: micro_sequences * positions = 1,024 *
    # 512 is 524,288 tokens
    prediction = cross_entropy(hidden_BSD, model.head_DV(), batch, chunk=524_288)
    return objective_of(
        {
            "cross_entropy": prediction.cross_entropy,
            "balance_loss": 0.01 * jnp.mean(routers.balance_loss),
        },
        routers,
    )


def learning_rate() -> optax.Schedule:
    """A half cosine from 0.01 to 0.001 after 500 warm-up steps (resolved.moe:107)."""
    return optax.warmup_cosine_decay_schedule(0.0, 0.01, warmup_steps=500, decay_steps=1608, end_value=0.001)


def optimizer() -> optax.GradientTransformation:
    """AdamW after clipping the global norm at 1, weight decay 0.0001 (resolved.moe:99)."""
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(learning_rate(), b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0001, mask=decay_mask),
    )


# steps: ceil(tokens_per_param * n_params / batch_tokens) = ceil(20 * 674,425,344 / 8,388,608) is 1,608 steps
# (resolved.moe:85)
# batch: 8,388,608 tokens = 1 micro-batch of 1,024 sequences of 8,192 (resolved.moe:96)
PROGRAM = Program(
    name="pretrain",
    identity="sha256:a284469d375dc42186db1337106768090a8da0053c2a4e09cd2910cb795ef99f",
    mesh=MESH,
    model=Model,
    objective=objective,
    optimizer=optimizer,
    after_step=None,
    data=None,
    training=Training(steps=1608, seq_len=8192, micro_batches=1, micro_sequences=1024, seed=0),
    checkpoints=Checkpoints(every_steps=1000, keep=3),
    evaluation=Evaluation(every_steps=0, tokens=65_536),
    expectations=Expectations(
        params=22_077_958_656,
        active_params=674_425_344,
        train_flops_per_token=4_952_162_304.0,
        peak_flops_per_second=459_000_000_000_000.0,
    ),
    learning_rate=learning_rate,
    guard=Guard(spike=None, window=128, max_skips=10),
)

if __name__ == "__main__":
    main(PROGRAM)
