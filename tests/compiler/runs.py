"""Runs as values, for tests that need no text: a laptop run, and Switch-Base on 512 chips."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from moec.compiler.typed import (
    MESH_AXES,
    AttentionSpec,
    BatchSpec,
    BudgetSpec,
    CheckpointSpec,
    DtypeSpec,
    EvalSpec,
    ExpertsSpec,
    FfnSpec,
    GuardSpec,
    InitSpec,
    LayersSpec,
    MeshSpec,
    ModelSpec,
    NormSpec,
    OptimizerSpec,
    RematSpec,
    RunSpec,
)
from moec.spec.hardware import Hardware
from moec.spec.source import Span

NOWHERE = Span("test.moe", 0, 0)

CPU = Hardware(
    name="cpu",
    title="CPU",
    platform="cpu",
    peak_flops_per_second={},
    achievable_flops_per_second={"float32": 1.0e11},
    hbm_bytes=0,
    hbm_bytes_per_second=0.0,
    devices_per_chip=1,
    chips_per_node=1,
    link_bytes_per_second=0.0,
    links=0,
    network_bytes_per_second=0.0,
    topologies=(),
    tile=(1, 1),
    sources=("test",),
)
TPU = replace(
    CPU,
    name="tpu_v5p",
    title="TPU v5p",
    platform="tpu",
    peak_flops_per_second={"bfloat16": 459e12},
    achievable_flops_per_second={},
    hbm_bytes=95 * 10**9,
    hbm_bytes_per_second=2.765e12,
    chips_per_node=4,
    link_bytes_per_second=1.0e11,
    links=6,
    network_bytes_per_second=6.25e9,
    topologies=((8, 8, 8), (4, 4, 4)),
    tile=(8, 128),
)
GPU = replace(
    CPU,
    name="h100",
    title="H100",
    platform="gpu",
    peak_flops_per_second={"bfloat16": 989e12},
    achievable_flops_per_second={"bfloat16": 798e12},
    hbm_bytes=80 * 10**9,
    hbm_bytes_per_second=3.35e12,
    chips_per_node=8,
    link_bytes_per_second=4.5e11,
    links=1,
    network_bytes_per_second=5.0e10,
    tile=(64, 64),
)

ATTENTION = AttentionSpec(
    n_heads=4,
    n_kv_heads=2,
    d_head=32,
    qk_norm=False,
    rope_theta=10_000.0,
    window=None,
    bias=False,
    softcap=None,
    kernel="auto",
    max_documents="auto",
)
FFN = FfnSpec(d_ff=344, activation="swiglu", norm="pre", bias=False)
EXPERTS = ExpertsSpec(
    n_experts=8,
    top_k=2,
    d_ff=344,
    activation="swiglu",
    bias=False,
    norm="pre",
    every=2,
    offset=0,
    first_dense=0,
    n_shared_experts=0,
    score="softmax",
    order="topk_then_score",
    renormalize=True,
    scale=1.0,
    capacity_factor=Fraction(5, 4),
    group_size=256,
    balance_loss=0.01,
    z_loss=0.001,
    bias_update_rate=0.0,
    dispatch="auto",
    grouped_matmul="auto",
)
DENSE = ModelSpec(
    name="dense",
    doc="",
    vocab_size=256,
    seq_len=256,
    n_layers=4,
    d_model=128,
    tie_embeddings=False,
    logits_softcap=None,
    logits_z_loss=0.0,
    norm=NormSpec(kind="rmsnorm", placement="pre", eps=1e-5),
    init=InitSpec(kind="fan_in", std=0.02, embedding_std=1.0, depth_scaled=True),
    dtype=DtypeSpec(params="float32", compute="float32", logits="float32"),
    attention=ATTENTION,
    ffn=FFN,
    experts=None,
)
SPARSE = replace(DENSE, name="sparse", experts=EXPERTS)

SWITCH_BASE = replace(
    DENSE,
    name="switch_base",
    vocab_size=32_768,
    seq_len=8_192,
    n_layers=12,
    d_model=1_536,
    tie_embeddings=True,
    dtype=DtypeSpec(params="float32", compute="bfloat16", logits="float32"),
    attention=replace(ATTENTION, n_heads=12, n_kv_heads=12, d_head=128, qk_norm=True, rope_theta=500_000.0),
    ffn=replace(FFN, d_ff=6_144, norm="hybrid"),
    experts=replace(
        EXPERTS,
        n_experts=128,
        d_ff=6_144,
        norm="hybrid",
        capacity_factor=Fraction(1),
        group_size=8_192,
        z_loss=0.0,
    ),
)


def mesh(hardware: Hardware = CPU, devices: int = 1, **axes: int | str) -> MeshSpec:
    """A mesh without a topology; an axis that is not named is 1."""
    return MeshSpec(
        name="mesh",
        doc="",
        hardware=hardware,
        devices=devices,
        topology=None,
        slices=1,
        axes={axis: axes.get(axis, 1) for axis in MESH_AXES},
    )


def budget(**given: object) -> BudgetSpec:
    """A budget of which one quantity is given."""
    empty = BudgetSpec("budget", "", None, None, None, None, None, None, None)
    return replace(empty, **given)


LAPTOP = RunSpec(
    name="with_moe",
    doc="",
    span=NOWHERE,
    seed=0,
    model=SPARSE,
    mesh=mesh(),
    data=None,
    budget=budget(tokens=1_000_000),
    batch=BatchSpec(tokens=4_096, micro="auto"),
    optimizer=OptimizerSpec(
        kind="adamw",
        peak_lr=3e-3,
        weight_decay=0.1,
        b1=0.9,
        b2=0.95,
        eps=1e-8,
        clip_norm=1.0,
        schedule="cosine",
        warmup_steps=20,
        decay_steps="auto",
        final_lr_ratio=0.1,
    ),
    remat=RematSpec(policy="none", save=(), offload=()),
    checkpoint=CheckpointSpec(every_steps=100, keep=3),
    guard=GuardSpec(spike=None, window=128, max_skips=10),
    eval=EvalSpec(every_steps=0, tokens=65_536),
    layers=LayersSpec(scan="auto"),
    asserts=(),
    origins={},
)
BASELINE = replace(LAPTOP, name="baseline", model=DENSE)
POD = replace(
    LAPTOP,
    name="pretrain",
    model=SWITCH_BASE,
    mesh=replace(mesh(TPU, 512, expert=16, fsdp=16, data="auto"), topology=(8, 8, 8)),
    budget=budget(law="chinchilla", count="active", tokens_per_param=20.0),
    batch=BatchSpec(tokens=8_388_608, micro="auto"),
    remat=RematSpec(policy="save_dots", save=(), offload=()),
)
