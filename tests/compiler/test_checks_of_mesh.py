"""What is refused about a mesh and what lies on it, and what is doubted."""

from dataclasses import replace
from fractions import Fraction

import pytest
from runs import ATTENTION, BASELINE, EXPERTS, FFN, GPU, LAPTOP, POD, TPU, mesh

from moec.compiler.formulas.network import axis_reach, fast_devices, network_of
from moec.compiler.passes.arrange_mesh import arrange_mesh
from moec.compiler.pipeline import plan_run
from moec.compiler.typed import RunSpec
from moec.spec.diagnostics import Diagnostic


def on(run: RunSpec, devices: int, **axes) -> RunSpec:
    return replace(run, mesh=mesh(devices=devices, **axes))


def model(run: RunSpec, **changes) -> RunSpec:
    return replace(run, model=replace(run.model, **changes))


def batch(run: RunSpec, tokens: int, micro: int | str = "auto") -> RunSpec:
    return replace(run, batch=replace(run.batch, tokens=tokens, micro=micro))


def all_told(run: RunSpec) -> tuple[Diagnostic, ...]:
    return plan_run(run)[1]


def told(run: RunSpec, code: str) -> Diagnostic:
    return next(diagnostic for diagnostic in all_told(run) if diagnostic.code == code)


def words(diagnostic: Diagnostic) -> str:
    labels = [label.text for label in diagnostic.others]
    return "\n".join((diagnostic.message, diagnostic.label, *labels, *diagnostic.helps))


@pytest.mark.parametrize(
    ("run", "code", "shown"),
    [
        (on(BASELINE, 8, data=4), "MOE4101", "data 4 = 4, not 8"),
        (on(BASELINE, 8), "MOE4101", "make one axis `auto`"),
        (on(BASELINE, 8, data="auto", fsdp=3), "MOE4103", "8 devices / 3 leaves 2"),
        (on(BASELINE, 8, data="auto", fsdp=3), "MOE4103", "2 or 4"),
        (on(batch(BASELINE, 3 * 256), 8, data=8), "MOE4201", "tokens = 2048"),
        (on(batch(BASELINE, 9 * 256), 2, fsdp=2), "MOE4201", "tokens = 2048 or 2560"),
        (on(batch(LAPTOP, 2_048, 512), 4, data=4), "MOE4201", "4 micro-batches"),
        (batch(BASELINE, 1_000), "MOE4202", "tokens = 768 or 1024"),
        (batch(BASELINE, 4_096, 3_072), "MOE4203", "micro = 2048 or 4096"),
        (batch(BASELINE, 4_096, 8_192), "MOE4203", "16 sequences of 256"),
        (batch(BASELINE, 4_096, 100), "MOE4203", "micro = 256"),
    ],
)
def test_a_mesh_that_cannot_hold_the_run_is_refused(run, code, shown):
    assert shown in words(told(run, code))
    assert plan_run(run)[0] is None


@pytest.mark.parametrize(
    ("run", "field", "axis"),
    [
        (on(batch(model(BASELINE, seq_len=255), 4_080), 2, seq=2), "seq_len", "seq"),
        (on(model(BASELINE, attention=replace(ATTENTION, n_heads=6)), 4, model=4), "n_heads", "model"),
        (on(BASELINE, 4, model=4), "n_kv_heads", "model"),
        (on(model(BASELINE, vocab_size=257), 2, model=2), "vocab_size", "model"),
        (on(model(BASELINE, ffn=replace(FFN, d_ff=343)), 2, model=2), "d_ff", "model"),
        (on(model(LAPTOP, experts=replace(EXPERTS, d_ff=343)), 2, model=2), "d_ff", "model"),
        (on(model(LAPTOP, experts=replace(EXPERTS, n_experts=6)), 4, expert=4), "n_experts", "expert"),
        (on(batch(BASELINE, 3 * 256), 3, fsdp=3), "d_model", "fsdp"),
        (on(model(BASELINE, d_model=129), 2, model=2), "d_model", "model"),
    ],
)
def test_every_length_that_an_axis_cuts_must_divide(run, field, axis):
    assert f"`{field}` is not a multiple of axis `{axis}`" in {diagnostic.message for diagnostic in all_told(run)}


def test_heads_that_do_not_divide_are_told_once_and_not_again_for_keys_and_values():
    run = on(model(BASELINE, attention=replace(ATTENTION, n_heads=6, n_kv_heads=6)), 4, model=4)
    assert [diagnostic.message for diagnostic in all_told(run) if diagnostic.code == "MOE4204"] == [
        "`n_heads` is not a multiple of axis `model`"
    ]


def test_an_auto_axis_becomes_what_the_others_leave_over():
    plan, diagnostics = arrange_mesh(POD)
    assert diagnostics == ()
    assert plan.axes == {"data": 2, "fsdp": 16, "expert": 16, "seq": 1, "model": 1}
    assert plan.chosen == "data = 2: 512 devices / 256 of the written axes"


def test_a_topology_that_is_not_for_rent_is_refused_with_the_nearest():
    run = replace(POD, mesh=replace(POD.mesh, topology=(4, 4, 32)))
    diagnostic = told(run, "MOE4104")
    assert "4x4x32" in diagnostic.message
    assert diagnostic.helps == ("nearest in size: 8x8x8, 4x4x4",)


def test_slices_hold_equally_many_devices():
    run = replace(BASELINE, mesh=replace(mesh(GPU, 16, data=16), slices=3))
    assert "slices = 2 or 4" in words(told(run, "MOE4105"))


def test_an_expert_axis_inside_a_node_is_fine_and_across_nodes_is_doubted():
    inside = replace(LAPTOP, mesh=mesh(GPU, 16, data=2, expert=8))
    across = replace(model(LAPTOP, experts=replace(EXPERTS, n_experts=16)), mesh=mesh(GPU, 16, expert=16))
    assert "MOE9203" not in {diagnostic.code for diagnostic in all_told(inside)}
    assert "16 devices of `expert` reach over 16" in words(told(across, "MOE9203"))


def test_the_reach_of_an_axis_counts_the_axes_inside_it():
    axes = {"data": 2, "fsdp": 3, "expert": 4, "seq": 5, "model": 6}
    assert axis_reach(axes, "model") == 6
    assert axis_reach(axes, "expert") == 120


def test_fast_links_reach_a_node_of_gpus_and_a_slice_of_tpus():
    assert fast_devices(GPU, 64, 1) == 8
    assert fast_devices(TPU, 512, 2) == 256


def test_a_collective_is_as_slow_as_its_slowest_axis():
    axes = {"data": 2, "fsdp": 1, "expert": 8, "seq": 1, "model": 1}
    assert network_of(GPU, axes, ("expert",), 8).bytes_per_second == 4.5e11
    assert network_of(GPU, axes, ("data", "expert"), 8).slow


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("d_head", model(BASELINE, attention=replace(ATTENTION, d_head=96))),
        ("d_ff", model(BASELINE, attention=replace(ATTENTION, d_head=128))),
        ("capacity", model(LAPTOP, experts=replace(EXPERTS, capacity_factor=Fraction(9, 8)))),
    ],
)
def test_lengths_that_waste_part_of_a_tile_are_doubted(name, run):
    messages = [diagnostic.message for diagnostic in all_told(replace(run, mesh=mesh(GPU)))]
    assert any(message.startswith(f"`{name}` is not a multiple of 64") for message in messages)


def test_tiles_are_not_a_matter_of_the_cpu():
    assert all(diagnostic.code != "MOE9204" for diagnostic in all_told(BASELINE))


def test_few_tokens_per_expert_are_doubted_where_the_chip_is_known():
    run = replace(LAPTOP, mesh=mesh(GPU, 8, data=8))
    assert "128 tokens at a time" in words(told(run, "MOE9202"))
