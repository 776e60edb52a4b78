"""The typed spec: every run with all that it refers to, names resolved, units checked, every default filled in.

`resolve` makes it from the read spec; the passes read it and never look at text again. `origins` says which span of the
user's text gave a field, under its dotted path inside the run: `model.attention.n_heads`, `mesh.axes.expert`,
`batch.tokens`. A field that took its default has the span of the block that would hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from moec.spec.hardware import Hardware
from moec.spec.source import Span
from moec.spec.syntax import Expression

Placement = Literal["pre", "post", "hybrid"]
Activation = Literal["swiglu", "geglu", "gelu", "relu2"]
Dtype = Literal["float32", "bfloat16"]
Auto = Literal["auto"]
RematPolicy = Literal["none", "full", "save_dots", "names", "auto"]
MESH_AXES = ("data", "fsdp", "expert", "seq", "model")
"""The five mesh axes, outermost first: neighbours on the last axis are the closest chips."""


@dataclass(frozen=True, slots=True)
class NormSpec:
    kind: Literal["rmsnorm", "layernorm"]
    placement: Placement
    eps: float


@dataclass(frozen=True, slots=True)
class InitSpec:
    """`fan_in`: normal with std 1/sqrt(fan-in); `normal`: normal with `std` everywhere. Output projections are divided
    by sqrt(2 * n_layers) when `depth_scaled`. `embedding_std` is for the embedding table alone."""

    kind: Literal["fan_in", "normal"]
    std: float
    embedding_std: float
    depth_scaled: bool


@dataclass(frozen=True, slots=True)
class DtypeSpec:
    params: Dtype
    compute: Dtype
    logits: Dtype


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """`window` is in tokens, None sees the whole past; `softcap` caps the scores, None does not; `bias` is on
    q, k, v and o. cuDNN is told up to `max_documents` by their lengths, None: all by a mask.
    """

    n_heads: int
    n_kv_heads: int
    d_head: int
    qk_norm: bool
    rope_theta: float
    window: int | None
    bias: bool
    softcap: float | None
    kernel: Literal["auto", "reference", "blockwise", "cudnn", "splash"]
    max_documents: int | Auto | None


@dataclass(frozen=True, slots=True)
class FfnSpec:
    d_ff: int
    activation: Activation
    norm: Placement
    bias: bool


@dataclass(frozen=True, slots=True)
class ExpertsSpec:
    """`d_ff` is the width of one expert. `capacity_factor` is per choice, None: dropless. `group_size` in tokens."""

    n_experts: int
    top_k: int
    d_ff: int
    activation: Activation
    bias: bool
    norm: Placement
    every: int
    offset: int
    first_dense: int
    n_shared_experts: int
    score: Literal["softmax", "sigmoid"]
    order: Literal["topk_then_score", "score_then_topk"]
    renormalize: bool
    scale: float
    capacity_factor: Fraction | None
    group_size: int
    balance_loss: float
    z_loss: float
    bias_update_rate: float
    dispatch: Literal["auto", "sorted", "onehot", "all_gather"]
    grouped_matmul: Literal["auto", "reference", "batched", "tiles", "megablox", "mosaic_gpu", "triton"]


@dataclass(frozen=True, slots=True)
class DepthRoutingSpec:
    """`capacity` is the fraction of a sequence that a routed layer takes while training."""

    capacity: Fraction
    every: int
    offset: int
    aux_loss: float


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """`logits_softcap` None does not cap; `logits_z_loss` weighs mean(logsumexp(logits)^2) in the objective. With
    `scale` `auto` the sizes are proportions until the compiler has chosen; no plan has it."""

    name: str
    doc: str
    vocab_size: int
    seq_len: int
    n_layers: int
    d_model: int
    tie_embeddings: bool
    logits_softcap: float | None
    logits_z_loss: float
    norm: NormSpec
    init: InitSpec
    dtype: DtypeSpec
    attention: AttentionSpec
    ffn: FfnSpec | None
    experts: ExpertsSpec | None
    depth_routing: DepthRoutingSpec | None = None
    scale: Literal["written", "auto"] = "written"


@dataclass(frozen=True, slots=True)
class MeshSpec:
    """`devices` counts what JAX calls devices, over all `slices`; `topology` is in chips of one slice, None where the
    hardware has none. `axes` has all of MESH_AXES; at most one is `auto`."""

    name: str
    doc: str
    hardware: Hardware
    devices: int
    topology: tuple[int, ...] | None
    slices: int
    axes: Mapping[str, int | Auto]


@dataclass(frozen=True, slots=True)
class DataSpec:
    """`sources` are `python_stdlib` or globs; `mixture` weighs them and sums to 1. `tokenizer` is `bytes` or a path.
    `split` is the fraction of documents that is held out."""

    name: str
    doc: str
    sources: tuple[str, ...]
    mixture: tuple[float, ...]
    format: Literal["auto", "text", "jsonl", "parquet"]
    text_field: str
    tokenizer: str
    split: float
    packing: Literal["documents", "concatenate"]
    seed: int


LawName = Literal["chinchilla", "hoffmann", "besiroglu", "joint_moe", "krajewski", "clark", "abnar", "frantar", "yun"]
Counted = Literal["active", "total", "dense_equivalent", "total_non_embedding", "nonzero"]
"""What a law may mean by the number of parameters."""


@dataclass(frozen=True, slots=True)
class YunCoefficients:
    """The coefficients of `law = yun`, which are the user's own."""

    a: float
    alpha: float
    b: float
    beta: float
    c: float
    gamma: float
    f: float
    d: float
    e_start: float
    e_max: float


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """Exactly one of `tokens`, `steps`, `train_flops`, `hours`, `law` is not None; or `train_flops` and `law`, for
    a model whose scale is open. `equal_to` names the run that `count = step_time` is measured against."""

    name: str
    doc: str
    tokens: int | None
    steps: int | None
    train_flops: int | None
    hours: float | None
    law: LawName | None
    count: Counted | Literal["step_time"] | None
    tokens_per_param: float | None
    sparsity: float | None = None
    max_sparsity: float | None = None
    equal_to: str | None = None
    coefficients: YunCoefficients | None = None


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """`tokens` of a step and `micro` of one micro-batch, both over all devices; `auto` = one micro-batch."""

    tokens: int
    micro: int | Auto


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    kind: Literal["adamw", "adafactor", "lion", "muon"]
    peak_lr: float
    weight_decay: float
    b1: float
    b2: float
    eps: float
    clip_norm: float | None
    schedule: Literal["cosine", "warmup_stable_decay", "constant"]
    warmup_steps: int | Auto
    decay_steps: int | Auto
    final_lr_ratio: float


@dataclass(frozen=True, slots=True)
class RematSpec:
    """`save` and `offload` name activations (`moec explain remat.save`) that `names` keeps or moves to the host.
    `auto` is for the planner: no plan has it."""

    policy: RematPolicy
    save: tuple[str, ...]
    offload: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckpointSpec:
    every_steps: int
    keep: int


@dataclass(frozen=True, slots=True)
class GuardSpec:
    """`spike` is in standard deviations, None skips only what is not finite; `window` and `max_skips` in steps."""

    spike: float | None
    window: int
    max_skips: int


@dataclass(frozen=True, slots=True)
class EvalSpec:
    """`tokens` held-out tokens at most are read per evaluation; `every_steps` 0 evaluates only at the end."""

    every_steps: int
    tokens: int


@dataclass(frozen=True, slots=True)
class LayersSpec:
    scan: bool | Auto


@dataclass(frozen=True, slots=True)
class AssertSpec:
    condition: Expression
    why: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run, whole. `data` is None where the spec names none: it can be planned, compiled and proven, not trained.

    `written` are the paths in `origins` of the fields that someone wrote; the others took their defaults. `reference`
    is the run that `budget.equal_to` names, None where it names none or this one.
    """

    name: str
    doc: str
    span: Span
    seed: int
    model: ModelSpec
    mesh: MeshSpec
    data: DataSpec | None
    budget: BudgetSpec
    batch: BatchSpec
    optimizer: OptimizerSpec
    remat: RematSpec
    checkpoint: CheckpointSpec
    guard: GuardSpec
    eval: EvalSpec
    layers: LayersSpec
    asserts: tuple[AssertSpec, ...]
    origins: Mapping[str, Span]
    written: frozenset[str] = frozenset()
    reference: RunSpec | None = None


@dataclass(frozen=True, slots=True)
class StudySpec:
    """`runs` are names of runs of the same spec. `seeds` repeat every run, () keeps each run's own seed."""

    name: str
    doc: str
    span: Span
    runs: tuple[str, ...]
    match: Literal["step_time", "tokens", "flops"]
    seeds: tuple[int, ...]
    report: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TypedSpec:
    """All runs and studies of one spec, in the order in which they are written."""

    file: str
    runs: tuple[RunSpec, ...]
    studies: tuple[StudySpec, ...]
