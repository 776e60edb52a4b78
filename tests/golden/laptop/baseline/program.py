"""Run `baseline`: model `dense` on mesh `laptop`.

4 layers of width 128, all dense.
791,680 parameters. 1 device (cpu). 1,003,520 tokens: 245 steps of 4,096.

Written by moec 0.1.0 from the resolved.moe beside it; line numbers in comments are that file's.
It is yours: read it, change it, keep it. It needs jax, flax, optax, orbax and moec.runtime.
Hash of its other lines: sha256:f5b69ce0398c61091b610585a5e4c3beb8d227da765180d3ced2260d2abd9853

    python program.py train | eval | generate | prove (each with --help)
"""

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P
from moec.runtime.attention import KeyValues, attend, merge_heads, rope, split_heads
from moec.runtime.batch import Batch, Objective, objective_of
from moec.runtime.data.text import TextData
from moec.runtime.feed_forward import project, project_out, swiglu
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, ModelOutput, run_layers
from moec.runtime.losses import cross_entropy
from moec.runtime.main import main
from moec.runtime.mesh import MeshShape, constrain
from moec.runtime.norms import rms_norm
from moec.runtime.optimizers import decay_mask
from moec.runtime.program import Checkpoints, Evaluation, Expectations, Guard, Program, Training
from moec.runtime.tables import embed

# 1 device (cpu) = data 1 x fsdp 1 x expert 1 x seq 1 x model 1 (resolved.moe:52)
MESH = MeshShape(hardware="cpu", data=1, fsdp=1, expert=1, seq=1, model=1)

# What flows between blocks: sequences over data, fsdp and expert, positions over seq, width over model.
RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")  # [B/(data, fsdp, expert), S/seq, D/model]


class Attention(nnx.Module):
    """Causal attention: 4 query heads and 2 key-value heads of width 32, rotary positions (resolved.moe:13)."""

    def __init__(self, init: Initializer) -> None:
        self.w_q = init.normal((128, 4, 32), P("fsdp", "model", None), std=0.0883883)  # [D/fsdp, N/model, H]
        self.w_k = init.normal((128, 2, 32), P("fsdp", "model", None), std=0.0883883)  # [D/fsdp, G/model, H]
        self.w_v = init.normal((128, 2, 32), P("fsdp", "model", None), std=0.0883883)  # [D/fsdp, G/model, H]
        self.w_o = init.normal((4, 32, 128), P("model", None, "fsdp"), std=0.03125)  # [N/model, H, D/fsdp]

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> tuple[jax.Array, KeyValues | None]:
        q_BSNH = rope(split_heads(x_BSD, self.w_q), batch.positions_BS, theta=10_000.0)
        k_BSGH = rope(split_heads(x_BSD, self.w_k), batch.positions_BS, theta=10_000.0)
        v_BSGH = split_heads(x_BSD, self.w_v)
        mixed_BSNH, cache = attend(q_BSNH, k_BSGH, v_BSGH, batch, cache, kernel="blockwise")
        return constrain(merge_heads(mixed_BSNH, self.w_o), RESIDUAL), cache


class Ffn(nnx.Module):
    """SwiGLU feed-forward layer of width 344 (resolved.moe:25)."""

    def __init__(self, init: Initializer) -> None:
        self.w_gate = init.normal((128, 344), P("fsdp", "model"), std=0.0883883)  # [D/fsdp, F/model]
        self.w_up = init.normal((128, 344), P("fsdp", "model"), std=0.0883883)  # [D/fsdp, F/model]
        self.w_down = init.normal((344, 128), P("model", "fsdp"), std=0.0190623)  # [F/model, D/fsdp]

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        gate_BSF = project(x_BSD, self.w_gate)
        up_BSF = project(x_BSD, self.w_up)
        hidden_BSF = swiglu(gate_BSF, up_BSF)
        return constrain(project_out(hidden_BSF, self.w_down), RESIDUAL)


class DenseBlock(nnx.Module):
    """Layers 1 to 4: attention and feed-forward, each normalised before (resolved.moe:8)."""

    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((128,), P(None))  # [D]
        self.attention = Attention(init)
        self.ffn_norm = init.ones((128,), P(None))  # [D]
        self.ffn = Ffn(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        normed_BSD = rms_norm(x_BSD, self.attention_norm, eps=1e-5)
        mixed_BSD, cache = self.attention(normed_BSD, batch, cache)
        x_BSD = x_BSD + mixed_BSD
        normed_BSD = rms_norm(x_BSD, self.ffn_norm, eps=1e-5)
        x_BSD = x_BSD + self.ffn(normed_BSD)
        return BlockOutput(x_BSD, cache, None)


class Model(nnx.Module):
    """Decoder-only transformer: embedding, 4 blocks, final norm, a head of its own (resolved.moe:4).

    A dense decoder: the baseline.
    """

    def __init__(self, init: Initializer) -> None:
        self.w_embed = init.normal((256, 128), P("model", "fsdp"), std=0.02)  # [V/model, D/fsdp]
        self.blocks = nnx.List(
            [
                DenseBlock(init.layer(1)),
                DenseBlock(init.layer(2)),
                DenseBlock(init.layer(3)),
                DenseBlock(init.layer(4)),
            ]
        )
        self.final_norm = init.ones((128,), P(None))  # [D]
        self.w_head = init.normal((128, 256), P("fsdp", "model"), std=0.0883883)  # [D/fsdp, V/model]

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype=jnp.float32), RESIDUAL)
        # Computes in float32; every activation is kept for the backward pass (resolved.moe:99)
        x_BSD, caches, routers = run_layers(self.blocks, x_BSD, batch, caches, remat="none")
        return ModelOutput(rms_norm(x_BSD, self.final_norm, eps=1e-5), caches, routers)

    def head_DV(self) -> jax.Array:
        """The matrix from hidden states to logits."""
        return self.w_head[...]


def objective(model: Model, batch: Batch) -> Objective:
    """Cross-entropy."""
    hidden_BSD, _, _ = model(batch)
    prediction = cross_entropy(hidden_BSD, model.head_DV(), batch)
    return objective_of(
        {
            "cross_entropy": prediction.cross_entropy,
        },
        None,
    )


def learning_rate() -> optax.Schedule:
    """A half cosine from 0.0003 to 3e-05 after 3 warm-up steps (resolved.moe:94)."""
    return optax.warmup_cosine_decay_schedule(0.0, 0.0003, warmup_steps=3, decay_steps=245, end_value=3e-5)


def optimizer() -> optax.GradientTransformation:
    """AdamW after clipping the global norm at 1, weight decay 0.1 (resolved.moe:86)."""
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(learning_rate(), b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1, mask=decay_mask),
    )


# steps: ceil(wanted_tokens / batch_tokens) = ceil(1,000,000 / 4,096) is 245 steps (resolved.moe:73)
# batch: 4,096 tokens = 1 micro-batch of 16 sequences of 256 (resolved.moe:83)
PROGRAM = Program(
    name="baseline",
    identity="sha256:135f6aaa45720d097a8293effb776a0d25e2604d2ea9f381ab48e3b46b506870",
    mesh=MESH,
    model=Model,
    objective=objective,
    optimizer=optimizer,
    after_step=None,
    data=TextData(
        sources=("python_stdlib",),
        mixture=(1.0,),
        format="auto",
        text_field="text",
        tokenizer="bytes",
        vocab_size=256,
        split=0.05,
        packing="documents",
        seed=0,
    ),
    training=Training(steps=245, seq_len=256, micro_batches=1, micro_sequences=16, seed=0),
    checkpoints=Checkpoints(every_steps=1000, keep=3),
    evaluation=Evaluation(every_steps=0, tokens=65_536),
    expectations=Expectations(
        params=791_680,
        active_params=791_680,
        train_flops_per_token=5_332_992.0,
        peak_flops_per_second=0.0,
    ),
    learning_rate=learning_rate,
    guard=Guard(spike=None, window=128, max_skips=10),
)

if __name__ == "__main__":
    main(PROGRAM)
