"""Run `flat`: model `dropless` on mesh `cube`.

4 layers of width 32; 8 experts of width 48 in layers 2 and 4, 2 of them per token.
114,656 parameters, 77,792 of them active per token. 8 devices (cpu). 40,960 tokens: 40 steps of 1,024.

Written by moec 0.1.0 from the resolved.moe beside it; line numbers in comments are that file's.
It is yours: read it, change it, keep it. It needs jax, flax, optax, orbax and moec.runtime.
Hash of its other lines: sha256:0ff8000cedcaa7876ca510945ec398c2700cf239d2485eea216b13ed9c3a31da

    python program.py train | eval | generate | prove (each with --help)
"""

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P
from moec.runtime.attention import KeyValues, attend, merge_heads, project_qkv, rope
from moec.runtime.batch import Batch, Objective, RouterReport, objective_of
from moec.runtime.experts import apply_experts, report_routing, route
from moec.runtime.feed_forward import geglu, project, project_out
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, ModelOutput, run_layers
from moec.runtime.losses import cross_entropy
from moec.runtime.main import main
from moec.runtime.mesh import MeshShape, constrain
from moec.runtime.norms import rms_norm
from moec.runtime.optimizers import decay_mask
from moec.runtime.program import Checkpoints, Evaluation, Expectations, Guard, Program, Training
from moec.runtime.tables import embed

# 8 devices (cpu) = data 1 x fsdp 2 x expert 2 x seq 1 x model 2 (resolved.moe:75)
MESH = MeshShape(hardware="cpu", data=1, fsdp=2, expert=2, seq=1, model=2)

# What flows between blocks: sequences over data, fsdp and expert, positions over seq, width over model.
RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")  # [B/(data, fsdp, expert), S/seq, D/model]
# What a branch computes with: the whole width on every device of the model axis.
WHOLE = P(("data", "fsdp", "expert"), "seq", None)  # [B/(data, fsdp, expert), S/seq, D]


class Attention(nnx.Module):
    """Causal attention: 4 query heads and 2 key-value heads of width 16, rotary positions, queries and keys
    normalised per head, each token sees the last 32 only (resolved.moe:13).
    """

    def __init__(self, init: Initializer) -> None:
        self.w_q = init.normal((32, 4, 16), P("fsdp", "model", None), std=0.02)  # [D/fsdp, N/model, H]
        self.w_k = init.normal((32, 2, 16), P("fsdp", "model", None), std=0.02)  # [D/fsdp, G/model, H]
        self.w_v = init.normal((32, 2, 16), P("fsdp", "model", None), std=0.02)  # [D/fsdp, G/model, H]
        self.w_o = init.normal((4, 16, 32), P("model", None, "fsdp"), std=0.00707107)  # [N/model, H, D/fsdp]
        self.b_q = init.zeros((4, 16), P("model", None))  # [N/model, H]
        self.b_k = init.zeros((2, 16), P("model", None))  # [G/model, H]
        self.b_v = init.zeros((2, 16), P("model", None))  # [G/model, H]
        self.b_o = init.zeros((32,), P(None))  # [D]
        self.q_norm = init.ones((16,), P(None))  # [H]
        self.k_norm = init.ones((16,), P(None))  # [H]

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> tuple[jax.Array, KeyValues | None]:
        x_BSD = constrain(x_BSD, WHOLE)
        q_BSNH, k_BSGH, v_BSGH = project_qkv(x_BSD, self.w_q, self.w_k, self.w_v, self.b_q, self.b_k, self.b_v)
        q_BSNH = rms_norm(q_BSNH, self.q_norm, eps=1e-6)
        q_BSNH = rope(q_BSNH, batch.positions_BS, theta=12_345.5)
        k_BSGH = rms_norm(k_BSGH, self.k_norm, eps=1e-6)
        k_BSGH = rope(k_BSGH, batch.positions_BS, theta=12_345.5)
        mixed_BSNH, cache = attend(q_BSNH, k_BSGH, v_BSGH, batch, cache, kernel="reference", window=32, softcap=50.0)
        return constrain(constrain(merge_heads(mixed_BSNH, self.w_o, self.b_o), WHOLE), RESIDUAL), cache


class Ffn(nnx.Module):
    """GEGLU feed-forward layer of width 96 (resolved.moe:25)."""

    def __init__(self, init: Initializer) -> None:
        self.w_gate = init.normal((32, 96), P("fsdp", "model"), std=0.02)  # [D/fsdp, F/model]
        self.w_up = init.normal((32, 96), P("fsdp", "model"), std=0.02)  # [D/fsdp, F/model]
        self.w_down = init.normal((96, 32), P("model", "fsdp"), std=0.00707107)  # [F/model, D/fsdp]
        self.b_gate = init.zeros((96,), P("model"))  # [F/model]
        self.b_up = init.zeros((96,), P("model"))  # [F/model]
        self.b_down = init.zeros((32,), P(None))  # [D]

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        x_BSD = constrain(x_BSD, WHOLE)
        gate_BSF = project(x_BSD, self.w_gate, self.b_gate)
        up_BSF = project(x_BSD, self.w_up, self.b_up)
        hidden_BSF = geglu(gate_BSF, up_BSF)
        return constrain(constrain(project_out(hidden_BSF, self.w_down, self.b_down), WHOLE), RESIDUAL)


class Experts(nnx.Module):
    """8 GELU experts of width 48; each token goes to 2 of them, weighted by the softmax of their 2 logits
    (resolved.moe:31).
    """

    def __init__(self, init: Initializer) -> None:
        self.w_router = init.normal((32, 8), P(None, None), std=0.02)  # [D, E]
        self.w_up = init.normal((8, 32, 48), P("expert", "fsdp", "model"), std=0.02)  # [E/expert, D/fsdp, F/model]
        # [E/expert, F/model, D/fsdp]
        self.w_down = init.normal((8, 48, 32), P("expert", "model", "fsdp"), std=0.00707107)

    def __call__(self, x_BSD: jax.Array, batch: Batch) -> tuple[jax.Array, RouterReport]:
        routing = route(
            x_BSD, self.w_router, batch, top_k=2, score="softmax", order="topk_then_score", renormalize=True
        )
        # Dropless: an expert takes every token that chose it, in groups of 64 (resolved.moe:46)
        y_BSD, dropped = apply_experts(
            x_BSD,
            routing,
            w_gate=None,
            w_up=self.w_up,
            w_down=self.w_down,
            activation="gelu",
            group_size=64,
            capacity=None,
            dispatch="all_gather",
            grouped_matmul="tiles",
        )
        return constrain(y_BSD, RESIDUAL), report_routing(routing, dropped)


class DenseBlock(nnx.Module):
    """Layers 1 and 3: attention and feed-forward, each normalised after it is added (resolved.moe:8)."""

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((32,), P(None))  # [D]
        self.attention = Attention(init)
        self.ffn_norm = init.ones((32,), P(None))  # [D]
        self.ffn = Ffn(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        mixed_BSD, cache = self.attention(x_BSD, batch, cache)
        x_BSD = rms_norm(x_BSD + mixed_BSD, self.attention_norm, eps=1e-6)
        x_BSD = rms_norm(x_BSD + self.ffn(x_BSD), self.ffn_norm, eps=1e-6)
        return BlockOutput(x_BSD, cache, None)


class MoeBlock(nnx.Module):
    """Layers 2 and 4: attention and experts, each normalised after it is added (resolved.moe:38)."""

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((32,), P(None))  # [D]
        self.attention = Attention(init)
        self.experts_norm = init.ones((32,), P(None))  # [D]
        self.experts = Experts(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        mixed_BSD, cache = self.attention(x_BSD, batch, cache)
        x_BSD = rms_norm(x_BSD + mixed_BSD, self.attention_norm, eps=1e-6)
        y_BSD, report = self.experts(x_BSD, batch)
        x_BSD = rms_norm(x_BSD + y_BSD, self.experts_norm, eps=1e-6)
        return BlockOutput(x_BSD, cache, report)


class Model(nnx.Module):
    """Decoder-only transformer: embedding, 4 blocks, final norm, a head of its own (resolved.moe:4).

    No experts' capacity, no gate, a head of its own.
    """

    def __init__(self, init: Initializer) -> None:
        self.w_embed = init.normal((320, 32), P("model", "fsdp"), std=0.5)  # [V/model, D/fsdp]
        self.blocks = nnx.List(
            [
                DenseBlock(init.layer(1)),
                MoeBlock(init.layer(2)),
                DenseBlock(init.layer(3)),
                MoeBlock(init.layer(4)),
            ]
        )
        self.final_norm = init.ones((32,), P(None))  # [D]
        self.w_head = init.normal((32, 320), P("fsdp", "model"), std=0.02)  # [D/fsdp, V/model]

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype=jnp.float32), RESIDUAL)
        # Computes in float32; the backward pass computes each block again from its input (resolved.moe:106)
        x_BSD, caches, routers = run_layers(self.blocks, x_BSD, batch, caches, remat="full")
        return ModelOutput(rms_norm(x_BSD, self.final_norm, eps=1e-6), caches, routers)

    def head_DV(self) -> jax.Array:
        """The matrix from hidden states to logits."""
        return self.w_head[...]


def objective(model: Model, batch: Batch) -> Objective:
    """Cross-entropy + 0.0001 x mean squared logsumexp of the logits + 0.003 x balance loss + 0.0005 x router z-loss;
    the last 2 are means over 2 MoE layers (resolved.moe:47).
    """
    hidden_BSD, _, routers = model(batch)
    prediction = cross_entropy(hidden_BSD, model.head_DV(), batch, softcap=30.0, z_loss=0.0001, dtype="bfloat16")
    return objective_of(
        {
            "cross_entropy": prediction.cross_entropy,
            "logits_z_loss": prediction.z_loss,
            "balance_loss": 0.003 * jnp.mean(routers.balance_loss),
            "router_z_loss": 0.0005 * jnp.mean(routers.z_loss),
        },
        routers,
    )


def learning_rate() -> optax.Schedule:
    """Level at 0.01 (resolved.moe:102)."""
    return optax.constant_schedule(0.01)


def optimizer() -> optax.GradientTransformation:
    """Adafactor after clipping the global norm at 1, weight decay 0.1 (resolved.moe:97)."""
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_factored_rms(),
        optax.clip_by_block_rms(1.0),
        optax.scale_by_param_block_rms(),
        optax.add_decayed_weights(0.1, mask=decay_mask),
        optax.scale_by_learning_rate(learning_rate()),
    )


# steps: ceil(wanted_steps * batch_tokens / batch_tokens) = ceil(40 * 1,024 / 1,024) is 40 steps (resolved.moe:85)
# batch: 1,024 tokens = 1 micro-batch of 16 sequences of 64 (resolved.moe:94)
PROGRAM = Program(
    name="flat",
    identity="sha256:df1786b6c720923c8ad2349c2aebe76ffea91508bdadbd4ded3b4663ed6faf05",
    mesh=MESH,
    model=Model,
    objective=objective,
    optimizer=optimizer,
    after_step=None,
    data=None,
    training=Training(steps=40, seq_len=64, micro_batches=1, micro_sequences=16, seed=0),
    checkpoints=Checkpoints(every_steps=1000, keep=3),
    evaluation=Evaluation(every_steps=0, tokens=65_536),
    expectations=Expectations(
        params=114_656,
        active_params=77_792,
        train_flops_per_token=470_016.0,
        peak_flops_per_second=0.0,
    ),
    learning_rate=learning_rate,
    guard=Guard(spike=None, window=128, max_skips=10),
)

if __name__ == "__main__":
    main(PROGRAM)
