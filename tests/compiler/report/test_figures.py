"""The numbers behind the pictures are those of the plan, and what is drawn is well-formed and says them."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from runs import BASELINE, GPU, LAPTOP, POD, SWITCH_BASE, mesh

from moec.compiler.laws.surface import Surface
from moec.compiler.passes.ask_law import ask_law
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.report.figures import (
    AxisBand,
    MeshFigure,
    Part,
    TimeFigure,
    memory_figure,
    mesh_figure,
    time_figure,
)
from moec.compiler.report.law_figure import law_figure
from moec.compiler.report.svg import FILLS, MOST_ROWS, PATTERNS, memory_svg, mesh_svg, most_of, time_svg
from moec.compiler.report.svg_law import law_svg
from moec.compiler.units import count, duration, size

SVG = "{http://www.w3.org/2000/svg}"
NODES = replace(
    LAPTOP,
    name="nodes",
    model=replace(LAPTOP.model, dtype=SWITCH_BASE.dtype),
    mesh=mesh(GPU, 16, expert=8, data=2),
    batch=replace(LAPTOP.batch, tokens=65_536),
    budget=replace(LAPTOP.budget, tokens=100_000_000),
)
RUNS = {"laptop": LAPTOP, "baseline": BASELINE, "pod": POD, "nodes": NODES}


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {name: plan_run(run)[0] for name, run in RUNS.items()}


def drawings(plan: Plan) -> tuple[str, ...]:
    return (
        memory_svg(memory_figure(plan)),
        time_svg(time_figure(plan)),
        mesh_svg(mesh_figure(plan)),
        law_svg(law_figure(plan)),
    )


def words(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", RUNS)
def test_each_drawing_is_well_formed_and_uses_only_patterns_that_the_page_has(plans, name):
    patterns = {node.get("id") for node in ElementTree.fromstring(PATTERNS).iter() if node.get("id")}
    assert set(FILLS.values()) == patterns
    for svg in drawings(plans[name]):
        for node in ElementTree.fromstring(svg).iter():
            fill = node.get("fill", "")
            assert not fill.startswith("url(") or fill[5:-1] in patterns
            assert node.get("href") is None


@pytest.mark.parametrize("name", RUNS)
def test_memory_is_that_of_the_plan(plans, name):
    plan = plans[name]
    figure = memory_figure(plan)
    assert {part.label: part.value for part in figure.parts} == {
        "parameters": plan.memory.params,
        "gradients": plan.memory.gradients,
        "optimizer": plan.memory.optimizer,
        "activations": plan.memory.activations,
    }
    assert figure.limit == plan.memory.hbm
    assert size(plan.memory.total) in figure.note


def test_bars_of_memory_are_as_long_as_the_bytes_are_of_the_chip(plans):
    plan = plans["pod"]
    bars = list(ElementTree.fromstring(memory_svg(memory_figure(plan))).iter(f"{SVG}rect"))
    activations = bars[3]
    assert float(activations.get("width")) == pytest.approx(480 * plan.memory.activations / plan.memory.hbm, abs=0.06)


@pytest.mark.parametrize("name", RUNS)
def test_the_parts_of_a_step_add_up_to_the_step(plans, name):
    plan = plans[name]
    figure = time_figure(plan)
    assert sum(part.value for part in figure.parts) == pytest.approx(plan.step_time.seconds)
    assert sum(part.value for part in most_of(figure.parts)) == pytest.approx(plan.step_time.seconds)
    assert duration(plan.step_time.seconds) in figure.note
    values = [part.value for part in figure.parts]
    assert values == sorted(values, reverse=True)


def test_a_long_step_shows_the_largest_parts_and_adds_up_the_rest_by_cause():
    parts = tuple(Part(f"part {n}", 100.0 - n, "", "compute" if n % 2 else "memory") for n in range(MOST_ROWS + 5))
    shown = most_of(parts)
    assert shown[:MOST_ROWS] == parts[:MOST_ROWS]
    assert {part.kind for part in shown[MOST_ROWS:]} == {"compute", "memory"}
    assert sum(part.value for part in shown) == pytest.approx(sum(part.value for part in parts))


def test_the_mesh_shows_the_axes_that_cut_something_and_all_that_is_sent(plans):
    plan = plans["pod"]
    figure = mesh_figure(plan)
    assert {band.axis: band.size for band in figure.bands} == {
        axis: number for axis, number in plan.mesh.axes.items() if number > 1
    }
    for op, axis in {(row.op, row.axis) for row in plan.collectives}:
        for name in axis.split("+"):
            assert any(band.axis == name and op in band.sent for band in figure.bands)
    assert "Nothing is cut" in " ".join(words(mesh_svg(mesh_figure(plans["baseline"]))))


def test_an_axis_over_nodes_is_drawn_as_slow(plans):
    bands = {band.axis: band.slow for band in mesh_figure(plans["nodes"]).bands}
    assert bands == {"data": True, "expert": False}
    assert "data 2 over the slow network" in words(mesh_svg(mesh_figure(plans["nodes"])))


@pytest.mark.parametrize("name", RUNS)
def test_curves_are_above_their_least_and_pass_through_the_run(plans, name):
    figure = law_figure(plans[name])
    assert len(figure.curves) >= 2
    for curve in figure.curves:
        losses = [loss for _, loss in curve.points]
        assert min(losses) == 0
        assert curve.points[0][0] < curve.chosen_params < curve.points[-1][0]
        around = sorted(curve.points, key=lambda point: abs(point[0] - curve.chosen_params))[:2]
        assert min(loss for _, loss in around) <= curve.above <= max(loss for _, loss in around)


def test_the_loss_at_the_run_is_what_its_law_predicts_and_comes_first():
    run = replace(POD, budget=replace(POD.budget, law="besiroglu", tokens_per_param=None))
    plan, told = plan_run(run)
    assert plan is not None, told
    answer, _ = ask_law(plan.run, plan.tensors, plan.parameters)
    assert isinstance(answer.surface, Surface)
    first = law_figure(plan).curves[0]
    assert first.law == "besiroglu"
    assert first.loss == pytest.approx(answer.surface.loss(plan.parameters.active, plan.budget.tokens))
    # The law's own optimum: no size near it is better, but for the step between two points of the curve.
    assert first.above < 1e-3


def test_the_ratio_of_twenty_is_marked_where_its_tokens_take_the_same_work(plans):
    plan = plans["pod"]
    figure = law_figure(plan)
    assert figure.ratio_params == pytest.approx(plan.parameters.active, rel=0.01)
    assert f"this run: {count(plan.parameters.active)} active parameters" in figure.note


def test_words_in_a_drawing_are_never_markup():
    evil = '</text><script>alert("x")</script>&'
    time = TimeFigure(evil, evil, (Part(evil, 1.0, evil, "compute"),))
    band = MeshFigure(evil, evil, (AxisBand("data", 40, evil, evil, False),))
    for svg in (time_svg(time), mesh_svg(band)):
        assert "<script" not in svg
        assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))
        assert any("<script>" in text for text in words(svg))


def test_a_long_axis_shows_its_last_device(plans):
    band = AxisBand("data", 512, "sequences", "", False)
    shown = words(mesh_svg(MeshFigure("Mesh", "data 512", (band,))))
    assert "511" in shown
    assert "…" in shown
