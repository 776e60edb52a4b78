"""A program as the compiler writes them, small enough to train in a second: one MoE layer whose router has a bias that
is nudged, two micro-batches. It reads `text/*.txt` of the folder in which it is run.

    python tiny_program.py train | eval | generate | prove
"""

import jax
import optax
from flax import nnx
from jax import numpy as jnp
from jax.sharding import PartitionSpec as P

from moec.runtime.attention import KeyValues, attend, merge_heads, rope, split_heads
from moec.runtime.batch import Batch, Objective, RouterReport, objective_of
from moec.runtime.data.text import TextData
from moec.runtime.experts import apply_experts, report_routing, route
from moec.runtime.initializer import Initializer
from moec.runtime.layers import BlockOutput, ModelOutput, run_layers
from moec.runtime.losses import cross_entropy
from moec.runtime.main import main
from moec.runtime.mesh import MeshShape, constrain
from moec.runtime.norms import rms_norm
from moec.runtime.optimizers import decay_mask, nudge_router_biases
from moec.runtime.program import Checkpoints, Evaluation, Expectations, Program, Training
from moec.runtime.tables import embed

MESH = MeshShape(hardware="cpu", data=1, fsdp=1, expert=1, seq=1, model=1)

RESIDUAL = P(("data", "fsdp", "expert"), "seq", "model")  # [B, S, D]


class Attention(nnx.Module):
    def __init__(self, init: Initializer) -> None:
        self.w_q = init.normal((32, 8, 8), P("fsdp", "model", None), std=0.2)  # [D/fsdp, N/model, H]
        self.w_k = init.normal((32, 8, 8), P("fsdp", "model", None), std=0.2)  # [D/fsdp, G/model, H]
        self.w_v = init.normal((32, 8, 8), P("fsdp", "model", None), std=0.2)  # [D/fsdp, G/model, H]
        self.w_o = init.normal((8, 8, 32), P("model", None, "fsdp"), std=0.1)  # [N/model, H, D/fsdp]

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> tuple[jax.Array, KeyValues | None]:
        q_BSNH = rope(split_heads(x_BSD, self.w_q), batch.positions_BS, theta=10_000.0)
        k_BSGH = rope(split_heads(x_BSD, self.w_k), batch.positions_BS, theta=10_000.0)
        v_BSGH = split_heads(x_BSD, self.w_v)
        mixed_BSNH, cache = attend(q_BSNH, k_BSGH, v_BSGH, batch, cache, kernel="reference")
        return constrain(merge_heads(mixed_BSNH, self.w_o), RESIDUAL), cache


class Experts(nnx.Module):
    def __init__(self, init: Initializer) -> None:
        self.w_router = init.normal((32, 8), P(None, None), std=0.2)  # [D, E]
        self.router_bias = init.state((8,), P(None))  # [E]
        self.w_gate = init.normal((8, 32, 16), P("expert", "fsdp", "model"), std=0.2)  # [E/expert, D/fsdp, F/model]
        self.w_up = init.normal((8, 32, 16), P("expert", "fsdp", "model"), std=0.2)  # [E/expert, D/fsdp, F/model]
        self.w_down = init.normal((8, 16, 32), P("expert", "model", "fsdp"), std=0.2)  # [E/expert, F/model, D/fsdp]

    def __call__(self, x_BSD: jax.Array, batch: Batch) -> tuple[jax.Array, RouterReport]:
        routing = route(
            x_BSD, self.w_router, batch, top_k=2, score="softmax", order="topk_then_score", bias=self.router_bias
        )
        y_BSD, dropped = apply_experts(
            x_BSD,
            routing,
            w_gate=self.w_gate,
            w_up=self.w_up,
            w_down=self.w_down,
            activation="swiglu",
            group_size=32,
            capacity=10,
            dispatch="sorted",
            grouped_matmul="batched",
        )
        return constrain(y_BSD, RESIDUAL), report_routing(routing, dropped)


class MoeBlock(nnx.Module):
    def __init__(self, init: Initializer) -> None:
        self.attention_norm = init.ones((32,), P(None))  # [D]
        self.attention = Attention(init)
        self.experts_norm = init.ones((32,), P(None))  # [D]
        self.experts = Experts(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        mixed_BSD, cache = self.attention(rms_norm(x_BSD, self.attention_norm, eps=1e-5), batch, cache)
        x_BSD = x_BSD + mixed_BSD
        y_BSD, report = self.experts(rms_norm(x_BSD, self.experts_norm, eps=1e-5), batch)
        return BlockOutput(x_BSD + y_BSD, cache, report)


class Model(nnx.Module):
    def __init__(self, init: Initializer) -> None:
        self.w_embed = init.normal((256, 32), P("model", "fsdp"), std=1.0)  # [V/model, D/fsdp]
        self.blocks = nnx.List([MoeBlock(init.layer(1))])
        self.final_norm = init.ones((32,), P(None))  # [D]
        self.w_head = init.normal((32, 256), P("fsdp", "model"), std=0.2)  # [D/fsdp, V/model]

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype=jnp.float32), RESIDUAL)
        x_BSD, caches, routers = run_layers(self.blocks, x_BSD, batch, caches, remat="none")
        return ModelOutput(rms_norm(x_BSD, self.final_norm, eps=1e-5), caches, routers)

    def head_DV(self) -> jax.Array:  # noqa: N802
        return self.w_head[...]


def objective(model: Model, batch: Batch) -> Objective:
    hidden_BSD, _, routers = model(batch)
    prediction = cross_entropy(hidden_BSD, model.head_DV(), batch)
    return objective_of(
        {
            "cross_entropy": prediction.cross_entropy,
            "balance_loss": 0.01 * jnp.mean(routers.balance_loss),
            "router_z_loss": 0.001 * jnp.mean(routers.z_loss),
        },
        routers,
    )


def learning_rate() -> optax.Schedule:
    return optax.warmup_cosine_decay_schedule(0.0, 3e-3, warmup_steps=2, decay_steps=20, end_value=3e-4)


def optimizer() -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(learning_rate(), b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1, mask=decay_mask),
    )


def after_step(model: Model, routers: RouterReport) -> None:
    nudge_router_biases(model, routers, rate=0.01)


PROGRAM = Program(
    name="tiny",
    identity="sha256:0123456789abcdef",
    mesh=MESH,
    model=Model,
    objective=objective,
    optimizer=optimizer,
    after_step=after_step,
    data=TextData(
        sources=("text/*.txt",),
        mixture=(1.0,),
        format="text",
        text_field="text",
        tokenizer="bytes",
        vocab_size=256,
        split=0.2,
        packing="documents",
        seed=0,
    ),
    training=Training(steps=6, seq_len=32, micro_batches=2, micro_sequences=8, seed=0),
    checkpoints=Checkpoints(every_steps=2, keep=2),
    evaluation=Evaluation(every_steps=4, tokens=2_048),
    expectations=Expectations(
        params=37_216, active_params=28_000, train_flops_per_token=2.0e5, peak_flops_per_second=0.0
    ),
    learning_rate=learning_rate,
)

if __name__ == "__main__":
    main(PROGRAM)
