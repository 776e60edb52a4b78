"""RunSpec, StackPlan, MeshPlan, activations -> what the layers hold on one device during a training step.

What each layer keeps for the backward pass under a remat policy, what it makes again, and what it works with besides.
It knows nothing of parameters, optimizer and loss. Where a chip's compiler keeps other arrays than its kin, a constant
of this file says so; all were set on the runs called fit_… of benchmarks/memory.py.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from moec.compiler.formulas.flops import BAND, makes_scores_again, mean_computed_keys
from moec.compiler.formulas.memory import activation_bytes, bytes_by_name, named
from moec.compiler.passes.choose_kernels import LANES, choose_attention, forks_norms, told_documents
from moec.compiler.plan import ActivationPlan, LayerKind, MeshPlan, StackPlan
from moec.compiler.typed import ModelSpec, RunSpec

ATTENTION: Final = ("q", "k", "v", "weights", "mixed")
BRANCH: Final[Mapping[LayerKind, tuple[str, ...]]] = {
    "dense": ("ffn_gate", "ffn_up", "ffn_hidden"),
    "moe": (
        *("router_logits", "expert_buffer", "expert_gate", "expert_up", "expert_hidden", "expert_out"),
        *("shared_gate", "shared_up", "shared_hidden"),
    ),
}
"""Named activations that a layer keeps where nothing is made again, besides the residual stream."""

COPIES: Final = {"ffn_gate": 3, "expert_gate": 3, "shared_gate": 3, "router_logits": 2}
"""Arrays of the size of one activation that autodiff keeps, where it is not one: the gate of geglu, its tanh and the
gated value; router logits and probabilities.

Source: measured, differences between compiled steps of 2 and 3 layers (jax 0.12, XLA on CPU)."""

COPIES_ON_TPU: Final = {
    **dict.fromkeys(("ffn_gate", "expert_gate", "shared_gate", "ffn_up", "expert_up", "shared_up"), 1),
    "expert_hidden": 0,
}
COPIES_ON_TPU_SCANNED: Final = dict.fromkeys(("ffn_gate", "expert_gate", "shared_gate"), 4)
"""XLA for TPUs keeps what the activation takes and makes the rest again inside the products that read it, the hidden
rows of experts too. In a scan where nothing is made again it keeps what JAX kept.

Source: libtpu's account of buffers (`XLA_FLAGS=--xla_dump_to`), fit_v5e_dense, fit_v5e_long, fit_v5e_moe and
fit_v5p_shared_scan of benchmarks/memory.py."""

HEADS: Final = ("q", "k", "v", "mixed")
"""A TPU's memory holds rows of LANES; shorter heads are padded to that. Source: as COPIES_ON_TPU."""

COPIES_IN_TILES: Final = {"expert_gate": 1}
"""Tiles have a gradient of their own, which keeps gates and ups alone. Source: moec.runtime.tiles."""

ROWS_BY_EXPERT: Final = 3
"""Arrays of the rows of all experts that the backward pass works with besides, in tiles and in TPUs' grouped matmuls:
what came back, padded, and the gradients of what went in. Source: as COPIES, fit_v5e_dropless_full."""

SWIGLU_GATES_ON_CPU: Final = 2
"""What was seen to be kept besides the up projection, where JAX keeps the gate alone. Source: as COPIES, 2026-11-28."""

COPIES_WITHOUT_GATE: Final = {"ffn_up": 2, "expert_up": 2, "shared_up": 2}
"""The activation's argument and its tanh. Source: as COPIES."""

SOFTMAX_COPIES: Final[Mapping[str, Fraction]] = {"cpu": Fraction(3), "gpu": Fraction(3), "tpu": Fraction(1, 2)}
"""Float32 arrays of the size of the scores that are kept: scores, their exponentials and the weights; on TPUs the
weights alone, in bfloat16. Source: as COPIES, on TPUs libtpu's own account."""

STREAMS: Final = 4
STREAMS_UNROLLED_ALONE: Final = 6
STREAMS_CAST_AND_SCANNED: Final = 10
"""Arrays of the residual stream's size that a layer keeps: the input and the normed input of both branches. Unrolled on
a device alone XLA keeps both branches' outputs, too, and adds them up again. In a scan JAX, not XLA, decides what is
kept: where the stream is not float32 each norm also keeps its argument and its result in float32, twice the size, but
for those that have kernels of their own.

Source: as COPIES; runtime.norms for the last, seen on fit_h200_scan of benchmarks/memory.py."""

SCORES_OF_A_PAIR: Final = 3
"""Arrays of the scores of a pair of blocks at once. Source: moec.runtime.attention_blocks._backward."""

SUMS_AT_WORK: Final = 2
"""Arrays of splash attention's sums at once, those of the forward pass that is made again and of the backward pass.

Source: as COPIES_ON_TPU, fit_v5p_shared_dots."""

DOTS: Final = ("q", "k", "v", "attention_out", "ffn_gate", "ffn_up", "ffn_out", "shared_gate", "shared_up")
"""Outputs of matmuls without batch dims. Source: jax.checkpoint_policies.dots_with_no_batch_dims_saveable."""


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """Bytes of one layer: `kept` from its forward to its backward pass, `remade` in the backward pass, and `extra` for
    gradients on the way: of the largest array of the branch, of the rows that experts gave back, and of the stream, or
    of queries, keys and values."""

    kept: int
    remade: int
    extra: int


def layer_memory(
    run: RunSpec, stack: StackPlan, mesh: MeshPlan, activations: tuple[ActivationPlan, ...], kind: LayerKind
) -> LayerMemory:
    """What a layer of this kind holds. The input that a re-computed piece starts from is not in it."""
    sizes = sizes_in_layer(run, mesh, activations)
    arrays = arrays_of_layer(run, stack, mesh, activations, sizes, kind)
    branch = max((sizes[name] for name in BRANCH[kind] if name in sizes), default=0)
    rows = 0
    if kind == "moe":
        copies = ROWS_BY_EXPERT if is_tiled(sizes) or is_dropless_on_tpu(run) else 1
        rows = copies * sizes["expert_out"] + choice_bytes(run, activations, mesh)
    extra = sizes["residual"] + max(branch, rows, attention_at_work(run, mesh, activations))
    if run.remat.policy == "none":
        return LayerMemory(sum(arrays.values()), 0, extra)
    names = kept_names(run)
    kept = sum(size for name, size in sizes.items() if name in names and (name in arrays or belongs(run, name, kind)))
    remade = sum(size for name, size in arrays.items() if name not in names)
    return LayerMemory(kept, remade, extra)


def sizes_in_layer(run: RunSpec, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> Mapping[str, int]:
    """Bytes of one of each activation on one device, by name, as the chip's memory holds it."""
    sizes = bytes_by_name(activations, mesh.axes)
    d_head = run.model.attention.d_head
    if run.mesh.hardware.platform == "tpu" and d_head % LANES:
        padded = d_head + -d_head % LANES
        sizes |= {name: sizes[name] // d_head * padded for name in HEADS}
    return sizes


def belongs(run: RunSpec, name: str, kind: LayerKind) -> bool:
    """Whether a layer of this kind keeps a branch's output if the policy lets it: the attention's always, the last one
    only for a norm behind it, since nothing else in the backward pass reads it."""
    normed = run.model.ffn is not None and run.model.ffn.norm != "pre"
    return name == "attention_out" or (name == "ffn_out" and kind == "dense" and normed)


def arrays_of_layer(
    run: RunSpec,
    stack: StackPlan,
    mesh: MeshPlan,
    activations: tuple[ActivationPlan, ...],
    sizes: Mapping[str, int],
    kind: LayerKind,
) -> Mapping[str, int]:
    """Bytes that stay for the backward pass where nothing is made again, by activation; `sizes` are those of one of
    each."""
    gated = "ffn_gate" in sizes or "expert_gate" in sizes
    copies = {**COPIES, **({} if gated else COPIES_WITHOUT_GATE)}
    if run.mesh.hardware.platform == "tpu":
        copies |= COPIES_ON_TPU_SCANNED if stack.scan and run.remat.policy == "none" else COPIES_ON_TPU
    if is_tiled(sizes):
        copies |= COPIES_IN_TILES
    as_jax_kept = stack.scan and run.remat.policy == "none"
    on_cpu = run.mesh.hardware.platform == "cpu" and not as_jax_kept and not is_tiled(sizes)
    copies |= dict.fromkeys(gates_of_swiglu(run.model), SWIGLU_GATES_ON_CPU if on_cpu else 1)
    found = {name: copies.get(name, 1) * sizes[name] for name in (*ATTENTION, *BRANCH[kind]) if name in sizes}
    if "weights" in found:
        kept = not makes_scores_again(run.model.seq_len, choose_attention(run, mesh)[0])
        softmax = SOFTMAX_COPIES[run.mesh.hardware.platform] if kept else 0
        found["weights"] = int(softmax * found["weights"])
    for name in ("k", "v"):
        found[name] = int(slices_of_keys(run, mesh) * found[name])
    found["residual"] = streams_kept(run, stack, mesh) * sizes["residual"]
    if "weights" not in found:
        found["sums"] = cudnn_sums_bytes(run, mesh, activations)
        if stack.scan and run.remat.policy == "none":
            found["mask"] = cudnn_mask_bytes(run, mesh, activations)
    return found


def gates_of_swiglu(model: ModelSpec) -> Iterator[str]:
    """The gates that swiglu takes: it has a gradient of its own, which keeps its arguments alone. Source:
    moec.runtime.feed_forward; as COPIES."""
    if model.ffn is not None and model.ffn.activation == "swiglu":
        yield "ffn_gate"
    if model.experts is not None and model.experts.activation == "swiglu":
        yield from ("expert_gate", "shared_gate")


def is_tiled(names: Container[str]) -> bool:
    """Whether experts multiply tile by tile, by the names of the activations: nothing else lacks a whole product."""
    return "expert_up" in names and "expert_hidden" not in names


def is_dropless_on_tpu(run: RunSpec) -> bool:
    """Whether experts multiply as many rows as are chosen, by grouped matmuls."""
    experts = run.model.experts
    return run.mesh.hardware.platform == "tpu" and experts is not None and experts.capacity_factor is None


def streams_kept(run: RunSpec, stack: StackPlan, mesh: MeshPlan) -> int:
    """How many arrays of the residual stream's size a layer keeps where nothing is made again."""
    if run.remat.policy == "none" and stack.scan and run.model.dtype.compute != "float32":
        return STREAMS if run.model.experts is None and forks_norms(run, mesh) else STREAMS_CAST_AND_SCANNED
    alone = mesh.devices == 1 and not stack.scan and run.remat.policy == "none"
    return STREAMS_UNROLLED_ALONE if alone else STREAMS


def slices_of_keys(run: RunSpec, mesh: MeshPlan) -> Fraction:
    """How often keys and values are kept: where the kernel `blockwise` goes by bands it cuts out those that each band
    sees, and XLA keeps the pieces, but not on TPUs and not where the step is spread over devices.

    Source: moec.runtime.attention_kernels._bands; measured as COPIES."""
    kernel, seq_len = choose_attention(run, mesh)[0], run.model.seq_len
    if kernel != "blockwise" or makes_scores_again(seq_len, kernel):
        return Fraction(1)
    if mesh.devices > 1 or run.mesh.hardware.platform == "tpu":
        return Fraction(1)
    return max(Fraction(1), mean_computed_keys(seq_len, run.model.attention.window, kernel) / BAND)


def choice_bytes(run: RunSpec, activations: tuple[ActivationPlan, ...], mesh: MeshPlan) -> int:
    """The experts' outputs of all choices of all tokens in float32. Source: moec.runtime.dispatch.from_slots."""
    residual = named(activations, "residual")
    top_k = run.model.experts.top_k if run.model.experts else 0
    return top_k * activation_bytes(replace(residual, dtype="float32"), mesh.axes)


def attention_at_work(run: RunSpec, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """What the kernel `blockwise` works with where it makes scores again; the mask of the kernel `cudnn`, which is made
    for every layer, and its workspace; what the kernel `splash` gives back besides."""
    kernel = choose_attention(run, mesh)[0]
    if makes_scores_again(run.model.seq_len, kernel):
        return blocks_bytes(mesh, activations)
    asides = cudnn_mask_bytes, cudnn_workspace_bytes, splash_sums_bytes
    return sum(aside(run, mesh, activations) for aside in asides)


def blocks_bytes(mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """Queries, keys, values and the output's gradient cut into blocks, the gradients to the first three in float32, and
    the scores of one pair of blocks, their exponentials and the gradient to them.

    Source: moec.runtime.attention_blocks._backward.
    """
    heads = [named(activations, name) for name in ("q", "k", "v")]
    cut = sum(activation_bytes(one, mesh.axes) for one in (*heads, heads[0]))
    gradients = sum(activation_bytes(replace(one, dtype="float32"), mesh.axes) for one in heads)
    return cut + gradients + SCORES_OF_A_PAIR * activation_bytes(named(activations, "weights"), mesh.axes)


def cudnn_mask_bytes(run: RunSpec, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """A mask of one byte and the bias of two that is made of it, for each pair of tokens of a sequence.

    Source: jax.nn.dot_product_attention(implementation="cudnn"), which turns a mask into a bias.
    """
    if choose_attention(run, mesh)[0] != "cudnn":
        return 0
    residual = named(activations, "residual")
    pairs = replace(
        residual,
        dims=tuple("BSS"),
        shape=(*residual.shape[:2], run.model.seq_len),
        dtype="bfloat16",
        sharding=(*residual.sharding[:2], ()),
    )
    return activation_bytes(pairs, mesh.axes) * 3 // 2


def cudnn_sums_bytes(run: RunSpec, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """The logarithm of each query's sum of exponentials in float32 as cuDNN writes it for the backward pass where it is
    told documents by their lengths: a whole sequence's for each document that may be.

    Source: jax._src.cudnn.fused_attention_stablehlo, softmax_stat_shape.
    """
    documents = told_documents(run, choose_attention(run, mesh)[0]) or 0
    queries = named(activations, "q")
    sums = replace(queries, shape=(*queries.shape[:-1], 1), dtype="float32")
    return documents * activation_bytes(sums, mesh.axes)


def cudnn_workspace_bytes(run: RunSpec, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """The gradient of queries in float32 that cuDNN adds up in the backward pass where it is told documents by their
    lengths: a whole sequence's for each document that may be.

    Source: measured on one H100, docs/log.md 2026-11-28; a compiler without the GPU does not know it.
    """
    documents = told_documents(run, choose_attention(run, mesh)[0]) or 0
    return documents * activation_bytes(replace(named(activations, "q"), dtype="float32"), mesh.axes)


def splash_sums_bytes(run: RunSpec, mesh: MeshPlan, activations: tuple[ActivationPlan, ...]) -> int:
    """The logarithm of each query's sum of exponentials in float32, as splash attention writes it: once in every lane.

    Source: jax.experimental.pallas.ops.tpu.splash_attention, the output `logsumexp`.
    """
    if choose_attention(run, mesh)[0] != "splash":
        return 0
    queries = named(activations, "q")
    lanes = replace(queries, shape=(*queries.shape[:-1], LANES), dtype="float32")
    return SUMS_AT_WORK * activation_bytes(lanes, mesh.axes)


def kept_names(run: RunSpec) -> frozenset[str]:
    """The activations that a re-computation policy leaves on the device."""
    if run.remat.policy == "save_dots":
        return frozenset(DOTS)
    return frozenset(run.remat.save) - frozenset(run.remat.offload) if run.remat.policy == "names" else frozenset()
