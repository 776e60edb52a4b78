"""The plan: every number that is derived from one run, each with its formula. What the emitter prints and the user
reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from moec.compiler.typed import RunSpec

Number = int | float | Fraction
LayerKind = Literal["dense", "moe", "routed"]
"""A `routed` layer is a dense one that takes some tokens of each sequence."""

TensorRole = Literal["embedding", "head", "attention", "ffn", "experts", "router", "shared_experts", "norm"]
TensorInit = Literal["normal", "ones", "zeros"]
DimSpec = tuple[str, ...]
"""The mesh axes over which one tensor dim is sharded, outermost first; () keeps it whole."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """One derived number: `formula` in symbols, `inputs` the numbers put in, `source` a paper or the rule's own name,
    `origin` the dotted path of the field it mainly comes from (a key of `RunSpec.origins`), "" where there is none."""

    name: str
    value: Number | str
    unit: str
    formula: str
    inputs: Mapping[str, Number | str]
    source: str
    origin: str


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """Layer `number` counts from 1."""

    number: int
    kind: LayerKind


@dataclass(frozen=True, slots=True)
class StackPlan:
    """The layers as the program writes them: `period` is the repeated run of kinds, `repeats` how often, after
    `head` layers that stand alone (first_dense). `scan` runs the periods in a loop with stacked weights, else they
    are unrolled. With `scan` False, `head` holds all the layers and `period` is ()."""

    layers: tuple[LayerPlan, ...]
    head: tuple[LayerKind, ...]
    period: tuple[LayerKind, ...]
    repeats: int
    scan: bool
    reason: str

    def numbers_of(self, *kinds: LayerKind) -> tuple[int, ...]:
        """The numbers of the layers of these kinds, from 1."""
        return tuple(layer.number for layer in self.layers if layer.kind in kinds)


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One kind of weight. `owner` is the class of the program that makes it: `Model`, `Attention`, `Ffn`,
    `Experts`, `SharedExperts`, `DenseBlock`, `MoeBlock`, `RoutedBlock`. `dims` are the letters of docs/notation.md, one
    per entry of `shape` and `sharding`; `layers` the numbers of the layers that have one, () for a weight outside the
    layers. `active` is the fraction of it that one token uses."""

    owner: str
    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    sharding: tuple[DimSpec, ...]
    dtype: str
    init: TensorInit
    std: float
    decay: bool
    trainable: bool
    layers: tuple[int, ...]
    role: TensorRole
    active: Fraction

    @property
    def copies(self) -> int:
        return len(self.layers) or 1


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """`total` and `active` count every trainable weight, embeddings included; `embedding` both tables (one if tied)."""

    total: int
    active: int
    embedding: int
    by_role: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FlopRow:
    """One operation of the forward pass: FLOPs for one token over all layers that have it; `executed` adds what the
    kernels compute beyond that (empty slots, one-hot dispatch, masked attention, a router's float32 in parts), `ideal`
    does not. `recomputed` is what the backward pass makes again of it."""

    operation: str
    layers: int
    ideal_flops_per_token: Number
    executed_flops_per_token: Number
    formula: str
    recomputed_flops_per_token: Number = 0


@dataclass(frozen=True, slots=True)
class FlopCounts:
    """`train` is ideal: 3 x forward with causal attention halved, no padding, no re-computation. The conventions
    are by name."""

    rows: tuple[FlopRow, ...]
    forward_per_token: Number
    train_per_token: Number
    executed_train_per_token: Number
    conventions: Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class MeshPlan:
    """`axes` in the order of MESH_AXES; their product is `devices`. `chosen` says what `auto` became, and why."""

    axes: Mapping[str, int]
    devices: int
    chosen: str


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """`sequences` per step over all devices, in `micro_batches` of `micro_sequences` each."""

    tokens: int
    sequences: int
    micro_batches: int
    micro_sequences: int
    tokens_per_device: int


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    tokens: int
    steps: int
    tokens_per_param: float
    train_flops: Number
    warmup_steps: int
    decay_steps: int


@dataclass(frozen=True, slots=True)
class RoutingPlan:
    """Of one MoE layer and one micro-batch. `capacity` slots per expert and group, None if dropless;
    `slots_per_token` the other convention (axlearn's); `dispatch` and `grouped_matmul` are the runtime's names,
    never `auto`."""

    group_size: int
    groups: int
    capacity: int | None
    slots_per_token: Fraction | None
    dispatch: str
    grouped_matmul: str
    reason: str


@dataclass(frozen=True, slots=True)
class ActivationPlan:
    """A named activation of one micro-batch over all devices."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    sharding: tuple[DimSpec, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class CollectivePlan:
    """Per device and training step: `count` operations that send `bytes` each over mesh axis `axis`."""

    op: Literal["all-to-all", "all-gather", "all-reduce", "reduce-scatter"]
    axis: str
    count: int
    bytes: int
    what: str


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes per device. `activations` is the peak that is kept for the backward pass plus the largest temporary."""

    params: int
    gradients: int
    optimizer: int
    activations: int
    total: int
    hbm: int


@dataclass(frozen=True, slots=True)
class TimeRow:
    what: str
    cause: Literal["compute", "memory", "network", "overhead"]
    seconds: float


@dataclass(frozen=True, slots=True)
class StepTimePlan:
    """Nothing overlaps in `seconds`; in `overlapped_seconds` all that is sent hides behind the rest, or the other way
    round. `mfu` is ideal training FLOPs over peak. `calibrated` is False until measured efficiencies stand behind it.
    """

    seconds: float
    overlapped_seconds: float
    breakdown: tuple[TimeRow, ...]
    mfu: float
    calibrated: bool


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """What the program writes: the kernel `attention` of moec.runtime.attention, how many documents of a sequence it is
    told by their lengths, None where it is not, and how many tokens over all devices go through the head and the
    cross-entropy at once."""

    attention: str
    documents: int | None
    cross_entropy_chunk: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate of the planner: a whole layout, what it is predicted to cost, and why it stands where it does.
    `proof` is what the target's compiler said of it, "" where it was not asked."""

    axes: Mapping[str, int]
    micro_tokens: int
    remat: str
    seconds: float
    bytes_per_device: int
    reason: str
    proof: str = ""


@dataclass(frozen=True, slots=True)
class ChoicesPlan:
    """What `auto` was chosen from. `asked` are the dotted paths of the fields; `layouts` were tried, `legal` of them
    pass all checks, `holding` of these hold the weights with their gradients and state. `best` are the candidates
    (layouts with micro-batch and policy) that fit, in order, the chosen one first."""

    asked: tuple[str, ...]
    layouts: int
    legal: int
    holding: int
    best: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class ScaleChoice:
    """One size of a model with `scale = auto`. `n_params` is the law's N; `loss` None where the law predicts none;
    `flops_over_six_n` the counted FLOPs per token against 6 N."""

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int | None
    expert_d_ff: int | None
    n_params: int
    tokens: int
    loss: float | None
    flops_over_six_n: float
    reason: str


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """What `scale` was chosen from. `ties` of the `tried` sizes are within the law's error `rmse` of the chosen one;
    `tied_params` is from the smallest to the largest of them. `best` has the chosen one first."""

    law: str
    tried: int
    ties: int
    tied_params: tuple[int, int]
    rmse: float
    best: tuple[ScaleChoice, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A field at a dotted `path` that the compiler wrote itself, and why; resolved.moe has the value."""

    path: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    run: RunSpec
    stack: StackPlan
    mesh: MeshPlan
    tensors: tuple[TensorPlan, ...]
    parameters: ParameterCounts
    flops: FlopCounts
    batch: BatchPlan
    budget: BudgetPlan
    routing: RoutingPlan | None
    activations: tuple[ActivationPlan, ...]
    collectives: tuple[CollectivePlan, ...]
    memory: MemoryPlan
    step_time: StepTimePlan
    kernels: KernelPlan
    derivations: tuple[Derivation, ...]
    choices: ChoicesPlan | None = None
    scale: ScalePlan | None = None
    decisions: tuple[Decision, ...] = ()
