"""The manifest for Kubernetes: its text, its shape, and that its pods find each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from moec.cli.launching.kubernetes import LONGEST_NAME, KubernetesOptions, dns_name, manifest

# Not the published schema: what moec writes of jobset.x-k8s.io/v1alpha2 and batch/v1, read off their Go types.
SCHEMA = json.loads(Path(__file__).with_name("jobset.schema.json").read_text(encoding="utf-8"))
OPTIONS = KubernetesOptions(image="registry.example/moec:tpu", claim="runs", namespace="lab", python="python3")
PROGRAM = 'print("λ: a program")\n\nprint("$(POD_INDEX)")\n'
MESHES = (
    "hardware = tpu_v5p, topology = 4x4x4, slices = 2",
    "hardware = tpu_v6e, topology = 2x4",
    "hardware = tpu_7x, topology = 2x2x2",
    "hardware = h100, devices = 16",
    "hardware = mi300x, devices = 8",
    "hardware = cpu, devices = 4",
)


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap and the JobSet."""
    config_map, jobset = yaml.safe_load_all(text)
    return config_map, jobset


def job_of(jobset: dict[str, Any]) -> dict[str, Any]:
    (workers,) = jobset["spec"]["replicatedJobs"]
    return workers["template"]["spec"]


def container_of(jobset: dict[str, Any]) -> dict[str, Any]:
    (container,) = job_of(jobset)["template"]["spec"]["containers"]
    return container


def test_slices_of_tpus_are_jobs_of_one_pod_per_machine(make_job, golden) -> None:
    golden("launch/tpus.yaml", manifest(make_job(MESHES[0]), OPTIONS, PROGRAM))


def test_machines_with_gpus_are_pods_that_meet_at_the_first(make_job, golden) -> None:
    options = replace(OPTIONS, cpus=64, node_selector={"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"})
    golden("launch/gpus.yaml", manifest(make_job("hardware = h100, devices = 16"), options, PROGRAM))


@pytest.mark.parametrize("mesh", MESHES)
def test_the_manifest_has_the_shape_of_the_api(make_job, mesh: str) -> None:
    config_map, jobset = documents(manifest(make_job(mesh), OPTIONS, PROGRAM))
    jsonschema.Draft7Validator(SCHEMA).validate(jobset)
    assert config_map["data"] == {"program.py": PROGRAM}


@pytest.mark.parametrize(("key", "value"), [("replicas", "2"), ("parallelism", None), ("replicatedJob", [])])
def test_the_schema_refuses_what_is_no_jobset(make_job, key: str, value: object) -> None:
    _, jobset = documents(manifest(make_job(MESHES[0]), OPTIONS, PROGRAM))
    places = {
        "replicas": jobset["spec"]["replicatedJobs"][0],
        "parallelism": job_of(jobset),
        "replicatedJob": jobset["spec"],
    }
    places[key][key] = value
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(jobset)


@pytest.mark.parametrize(
    ("mesh", "replicas", "pods", "chips"),
    [
        (MESHES[0], 2, 16, {"google.com/tpu": 4}),
        (MESHES[1], 1, 1, {"google.com/tpu": 8}),
        (MESHES[2], 1, 2, {"google.com/tpu": 4}),
        (MESHES[3], 1, 2, {"nvidia.com/gpu": 8}),
        (MESHES[4], 1, 1, {"amd.com/gpu": 8}),
    ],
)
def test_each_pod_gets_the_chips_of_its_machine(make_job, mesh: str, replicas: int, pods: int, chips) -> None:
    _, jobset = documents(manifest(make_job(mesh), OPTIONS, PROGRAM))
    assert jobset["spec"]["replicatedJobs"][0]["replicas"] == replicas
    assert (job_of(jobset)["parallelism"], job_of(jobset)["completions"]) == (pods, pods)
    assert container_of(jobset)["resources"]["limits"] == chips


def test_pods_without_tpus_meet_at_the_name_that_jobset_gives_the_first(make_job) -> None:
    _, jobset = documents(manifest(make_job("hardware = cpu, devices = 4"), replace(OPTIONS, nodes=2), PROGRAM))
    name, workers = jobset["metadata"]["name"], jobset["spec"]["replicatedJobs"][0]["name"]
    arguments = container_of(jobset)["args"]
    assert arguments[arguments.index("--coordinator") + 1].startswith(f"{name}-{workers}-0-0.{name}:")
    assert arguments[arguments.index("--processes") + 1] == "2"
    (variable,) = container_of(jobset)["env"]
    assert arguments[-1] == f"$({variable['name']})"


def test_tpus_meet_by_what_their_environment_says(make_job) -> None:
    _, jobset = documents(manifest(make_job(MESHES[0]), OPTIONS, PROGRAM))
    assert "--coordinator" not in container_of(jobset)["args"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Pod-pretrain_2", "pod-pretrain-2"),
        ("7b.moe", "run-7b-moe"),
        ("__x__", "x"),
        ("λ", "run"),
        ("a" * 39 + "-b", "a" * 39),
    ],
)
def test_names_are_made_such_that_kubernetes_takes_them(text: str, name: str) -> None:
    assert dns_name(text) == name
    assert len(dns_name(text * 9)) <= LONGEST_NAME
