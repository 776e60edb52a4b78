"""Run `scanned`: model `everything` on mesh `cube`.

7 layers of width 32; 8 experts of width 48 in layers 3, 5 and 7, 2 of them per token.
188,992 parameters, 132,256 of them active per token. 8 devices (cpu). 40,960 tokens: 40 steps of 1,024.

Written by moec 0.1.0 from the resolved.moe beside it; line numbers in comments are that file's.
It is yours: read it, change it, keep it. It needs jax, flax, optax, orbax and moec.runtime.
Hash of its other lines: sha256:e33bed387ceef9b9247ffadd93733794cd93f4678a046325a929aa639052e3e1

    python program.py train | eval | generate | prove (each with --help)
"""

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P
from moec.runtime.attention import KeyValues, attend, merge_heads, project_qkv, rope
from moec.runtime.batch import Batch, Objective, RouterReport, objective_of
from moec.runtime.data.text import TextData
from moec.runtime.experts import apply_experts, report_routing, route
from moec.runtime.feed_forward import geglu, project, project_out, relu2
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, LayersOutput, ModelOutput, run_layers, scan_layers
from moec.runtime.losses import cross_entropy
from moec.runtime.main import main
from moec.runtime.mesh import MeshShape, constrain
from moec.runtime.norms import layer_norm, rms_norm
from moec.runtime.optimizers import decay_mask, matrix_dims, nudge_router_biases
from moec.runtime.program import Checkpoints, Evaluation, Expectations, Guard, Program, Training
from moec.runtime.tables import embed

# 8 devices (cpu) = data 1 x fsdp 2 x expert 2 x seq 1 x model 2 (resolved.moe:77)
MESH = MeshShape(hardware="cpu", data=1, fsdp=2, expert=2, seq=1, model=2)

# What flows between blocks: sequences over data, fsdp and expert, positions over seq, width over model.
RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")  # [B/(data, fsdp, expert), S/seq, D/model]
# What a branch computes with: the whole width on every device of the model axis.
WHOLE = P(("data", "fsdp", "expert"), "seq", None)  # [B/(data, fsdp, expert), S/seq, D]


class Attention(nnx.Module):
    """Causal attention: 4 query heads and 2 key-value heads of width 16, rotary positions, queries and keys
    normalised per head, each token sees the last 32 only (resolved.moe:14).
    """

    def __init__(self, init: Initializer) -> None:
        self.w_q = init.normal((32, 4, 16), P("fsdp", "model", None), std=0.02)  # [D/fsdp, N/model, H]
        self.w_k = init.normal((32, 2, 16), P("fsdp", "model", None), std=0.02)  # [D/fsdp, G/model, H]
        self.w_v = init.normal((32, 2, 16), P("fsdp", "model", None), std=0.02)  # [D/fsdp, G/model, H]
        self.w_o = init.normal((4, 16, 32), P("model", None, "fsdp"), std=0.00534522)  # [N/model, H, D/fsdp]
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
    """GEGLU feed-forward layer of width 96 (resolved.moe:26)."""

    def __init__(self, init: Initializer) -> None:
        self.w_gate = init.normal((32, 96), P("fsdp", "model"), std=0.02)  # [D/fsdp, F/model]
        self.w_up = init.normal((32, 96), P("fsdp", "model"), std=0.02)  # [D/fsdp, F/model]
        self.w_down = init.normal((96, 32), P("model", "fsdp"), std=0.00534522)  # [F/model, D/fsdp]
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
    """8 squared-ReLU experts of width 48; each token goes to 2 of them, weighted by the sigmoid of all 8 logits,
    made to sum to 1, times 2.5 (resolved.moe:32).
    """

    def __init__(self, init: Initializer) -> None:
        self.w_router = init.normal((32, 8), P(None, None), std=0.02)  # [D, E]
        self.router_bias = init.state((8,), P(None))  # [E]
        self.w_up = init.normal((8, 32, 48), P("expert", "fsdp", "model"), std=0.02)  # [E/expert, D/fsdp, F/model]
        # [E/expert, F/model, D/fsdp]
        self.w_down = init.normal((8, 48, 32), P("expert", "model", "fsdp"), std=0.00534522)
        self.b_up = init.zeros((8, 48), P("expert", "model"))  # [E/expert, F/model]
        self.b_down = init.zeros((8, 32), P("expert", None))  # [E/expert, D]

    def __call__(self, x_BSD: jax.Array, batch: Batch) -> tuple[jax.Array, RouterReport]:
        routing = route(
            x_BSD,
            self.w_router,
            batch,
            top_k=2,
            score="sigmoid",
            order="score_then_topk",
            renormalize=True,
            scale=2.5,
            bias=self.router_bias,
        )
        # capacity: ceil(top_k * group_size * capacity_factor / n_experts) = ceil(2 * 32 * 1.5 / 8) is 12 slots per
        # expert and group, 3 per token (resolved.moe:47)
        y_BSD, dropped = apply_experts(
            x_BSD,
            routing,
            w_gate=None,
            w_up=self.w_up,
            w_down=self.w_down,
            b_up=self.b_up,
            b_down=self.b_down,
            activation="relu2",
            group_size=32,
            capacity=12,
            dispatch="onehot",
            grouped_matmul="reference",
        )
        return constrain(y_BSD, RESIDUAL), report_routing(routing, dropped)


class SharedExperts(nnx.Module):
    """2 shared experts of width 48, together one squared-ReLU layer of width 96 (resolved.moe:42)."""

    def __init__(self, init: Initializer) -> None:
        self.w_up = init.normal((32, 96), P("fsdp", "model"), std=0.02)  # [D/fsdp, F/model]
        self.w_down = init.normal((96, 32), P("model", "fsdp"), std=0.00534522)  # [F/model, D/fsdp]
        self.b_up = init.zeros((96,), P("model"))  # [F/model]
        self.b_down = init.zeros((32,), P(None))  # [D]

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        x_BSD = constrain(x_BSD, WHOLE)
        up_BSF = project(x_BSD, self.w_up, self.b_up)
        hidden_BSF = relu2(up_BSF)
        return constrain(constrain(project_out(hidden_BSF, self.w_down, self.b_down), WHOLE), RESIDUAL)


class DenseBlock(nnx.Module):
    """Layers 1, 2, 4 and 6: attention, normalised before and after, and feed-forward, normalised after it is added
    (resolved.moe:9).
    """

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((32,), P(None))  # [D]
        self.attention_norm_bias = init.zeros((32,), P(None))  # [D]
        self.attention_norm_after = init.ones((32,), P(None))  # [D]
        self.attention_norm_after_bias = init.zeros((32,), P(None))  # [D]
        self.attention = Attention(init)
        self.ffn_norm = init.ones((32,), P(None))  # [D]
        self.ffn_norm_bias = init.zeros((32,), P(None))  # [D]
        self.ffn = Ffn(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        normed_BSD = layer_norm(x_BSD, self.attention_norm, self.attention_norm_bias, eps=1e-6)
        mixed_BSD, cache = self.attention(normed_BSD, batch, cache)
        x_BSD = x_BSD + layer_norm(mixed_BSD, self.attention_norm_after, self.attention_norm_after_bias, eps=1e-6)
        x_BSD = layer_norm(x_BSD + self.ffn(x_BSD), self.ffn_norm, self.ffn_norm_bias, eps=1e-6)
        return BlockOutput(x_BSD, cache, None)


class MoeBlock(nnx.Module):
    """Layers 3, 5 and 7: attention, normalised before and after, and experts, normalised after it is added
    (resolved.moe:39).
    """

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((32,), P(None))  # [D]
        self.attention_norm_bias = init.zeros((32,), P(None))  # [D]
        self.attention_norm_after = init.ones((32,), P(None))  # [D]
        self.attention_norm_after_bias = init.zeros((32,), P(None))  # [D]
        self.attention = Attention(init)
        self.experts_norm = init.ones((32,), P(None))  # [D]
        self.experts_norm_bias = init.zeros((32,), P(None))  # [D]
        self.experts = Experts(init)
        self.shared_experts = SharedExperts(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        normed_BSD = layer_norm(x_BSD, self.attention_norm, self.attention_norm_bias, eps=1e-6)
        mixed_BSD, cache = self.attention(normed_BSD, batch, cache)
        x_BSD = x_BSD + layer_norm(mixed_BSD, self.attention_norm_after, self.attention_norm_after_bias, eps=1e-6)
        y_BSD, report = self.experts(x_BSD, batch)
        y_BSD = y_BSD + self.shared_experts(x_BSD)
        x_BSD = layer_norm(x_BSD + y_BSD, self.experts_norm, self.experts_norm_bias, eps=1e-6)
        return BlockOutput(x_BSD, cache, report)


class Period(nnx.Module):
    """2 layers, repeated 3 times from layer 2 on."""

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
    """Decoder-only transformer: embedding, 7 blocks, final norm, the embedding as head (resolved.moe:5).

    Every option that a program can show,
    over two lines.
    """

    def __init__(self, init: Initializer) -> None:
        self.w_embed = init.normal((320, 32), P("model", "fsdp"), std=0.5)  # [V/model, D/fsdp]
        self.blocks = nnx.List(
            [
                DenseBlock(init.layer(1)),
            ]
        )
        self.periods = init.stacked(Period, repeats=3, layers=2, first=2)
        self.final_norm = init.ones((32,), P(None))  # [D]
        self.final_norm_bias = init.zeros((32,), P(None))  # [D]

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype=jnp.float32), RESIDUAL)
        # Computes in float32; the backward pass keeps the named activations and computes the rest again
        # (resolved.moe:125)
        x_BSD, caches, routers = scan_layers(
            self.periods,
            x_BSD,
            batch,
            caches,
            head=self.blocks,
            remat="names",
            save=("attention_out", "expert_out"),
            offload=(),
        )
        return ModelOutput(layer_norm(x_BSD, self.final_norm, self.final_norm_bias, eps=1e-6), caches, routers)

    def head_DV(self) -> jax.Array:
        """The matrix from hidden states to logits, which is the embedding's transpose."""
        return self.w_embed[...].T


def objective(model: Model, batch: Batch) -> Objective:
    """Cross-entropy + 0.0001 x mean squared logsumexp of the logits + 0.003 x balance loss; the last is the mean
    over 3 MoE layers (resolved.moe:49).
    """
    hidden_BSD, _, routers = model(batch)
    prediction = cross_entropy(hidden_BSD, model.head_DV(), batch, softcap=30.0, z_loss=0.0001, dtype="bfloat16")
    return objective_of(
        {
            "cross_entropy": prediction.cross_entropy,
            "logits_z_loss": prediction.z_loss,
            "balance_loss": 0.003 * jnp.mean(routers.balance_loss),
        },
        routers,
    )


def after_step(model: Model, routers: RouterReport) -> None:
    """Moves the bias of each expert by 0.001 towards equal load (resolved.moe:51)."""
    nudge_router_biases(model, routers, rate=0.001)


def learning_rate() -> optax.Schedule:
    """Level at 0.02 after 4 warm-up steps, down to 0.001 in the last 10 steps (resolved.moe:119)."""
    return optax.join_schedules(
        [
            optax.linear_schedule(0.0, 0.02, transition_steps=4),
            optax.constant_schedule(0.02),
            optax.linear_schedule(0.02, 0.001, transition_steps=10),
        ],
        boundaries=[4, 30],
    )


def optimizer() -> optax.GradientTransformation:
    """Muon after clipping the global norm at 1, weight decay 0.05 (resolved.moe:111)."""
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            learning_rate(),
            beta=0.95,
            eps=1e-8,
            weight_decay=0.05,
            adam_b1=0.95,
            adam_b2=0.98,
            adam_weight_decay=0.05,
            weight_decay_mask=decay_mask,
            muon_weight_dimension_numbers=matrix_dims,
        ),
    )


# steps: ceil(wanted_steps * batch_tokens / batch_tokens) = ceil(40 * 1,024 / 1,024) is 40 steps (resolved.moe:98)
# batch: 1,024 tokens = 2 micro-batches of 8 sequences of 64 (resolved.moe:108)
PROGRAM = Program(
    name="scanned",
    identity="sha256:bbd69d6b83ceb8a9daa83130645bf458f1bfc455991e5b88c22df56367bf7961",
    mesh=MESH,
    model=Model,
    objective=objective,
    optimizer=optimizer,
    after_step=after_step,
    data=TextData(
        sources=("python_stdlib", "corpus/*.jsonl"),
        mixture=(0.75, 0.25),
        format="auto",
        text_field="text",
        tokenizer="bytes",
        vocab_size=320,
        split=0.1,
        packing="concatenate",
        seed=7,
    ),
    training=Training(steps=40, seq_len=64, micro_batches=2, micro_sequences=8, seed=3),
    checkpoints=Checkpoints(every_steps=10, keep=2),
    evaluation=Evaluation(every_steps=20, tokens=4096),
    expectations=Expectations(
        params=188_992,
        active_params=132_256,
        train_flops_per_token=895_488.0,
        peak_flops_per_second=0.0,
    ),
    learning_rate=learning_rate,
    guard=Guard(spike=6.0, window=16, max_skips=3),
)

if __name__ == "__main__":
    main(PROGRAM)
