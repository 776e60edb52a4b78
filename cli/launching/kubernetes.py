"""A job -> the manifest of a JobSet: one pod per machine, and the program in a ConfigMap beside it.

On TPUs the processes find each other by what GKE puts into their environment; elsewhere by the name that JobSet gives
the first pod. A pod that fails takes the others with it, and all begin again from the newest checkpoint.

Source: the JobSet API jobset.x-k8s.io/v1alpha2, and the Google Cloud documentation of TPUs in GKE for labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moec.cli.command import MISUSED, Failure
from moec.cli.launching.division import Division, divide

if TYPE_CHECKING:
    from argparse import Namespace

    from moec.cli.launching.job import Job
    from moec.compiler.typed import MeshSpec

MANIFEST = "jobset.yaml"
WORKERS = "workers"
COORDINATOR_PORT = 8476  # Assumption: free in a pod of one's own
PROGRAM_FOLDER = "/moec/program"
RUNS_FOLDER = "/moec/runs"
LONGEST_NAME = 40  # with `-workers-0-` and a number a pod's name stays below the 63 characters of a DNS label
ACCELERATORS = {
    "tpu_v4": "tpu-v4-podslice",
    "tpu_v5e": "tpu-v5-lite-podslice",
    "tpu_v5p": "tpu-v5p-slice",
    "tpu_v6e": "tpu-v6e-slice",
    "tpu_7x": "tpu7x",
}
"""The values of GKE's label for a TPU. Source: Google Cloud documentation, plan TPUs in GKE."""


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """What a user says of the cluster; `claim` is the PersistentVolumeClaim that all pods write to."""

    image: str
    claim: str
    namespace: str
    python: str
    nodes: int | None = None
    per_node: int | None = None
    cpus: int | None = None
    node_selector: Mapping[str, str] | None = None


def options_of(arguments: Namespace) -> KubernetesOptions:
    """What the command line says. Failure: without an image or a claim, or a label that is none."""
    if arguments.image is None or arguments.claim is None:
        raise Failure(
            "--on kubernetes needs --image, which has moec and JAX for the chip, and --claim, the volume that all pods "
            "write checkpoints to"
        )
    labels = [label.partition("=") for label in arguments.node_selector or ()]
    for key, equals, _ in labels:
        if not key or not equals:
            raise Failure(f"--node-selector {key!r} is not KEY=VALUE")
    return KubernetesOptions(
        image=arguments.image,
        claim=arguments.claim,
        namespace=arguments.namespace or "default",
        python=arguments.python or "python3",
        nodes=arguments.nodes,
        per_node=arguments.per_node,
        cpus=arguments.cpus,
        node_selector={key: value for key, _, value in labels},
    )


def dns_name(text: str) -> str:
    """`text` as Kubernetes writes names: small letters, digits and hyphens, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if name[:1].isalpha() else f"run-{name}"
    return name[:LONGEST_NAME].rstrip("-")


def manifest(job: Job, options: KubernetesOptions, program: str) -> str:
    """The text of the manifest that runs `program`."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes text of several lines as a block, as a person would."""

    Dumper.add_representer(str, _represent)
    documents = (_config_map(job, options, program), _jobset(job, options))
    told = (
        f"# The run `{job.run}` on {job.mesh.devices} x {job.mesh.hardware.name}. Written by `moec launch`.\n"
        f"#   kubectl apply -f {job.folder / MANIFEST}\n"
    )
    return told + yaml.dump_all(
        documents, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000, explicit_start=True
    )


def _represent(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _config_map(job: Job, options: KubernetesOptions, program: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{job.name}-program", "namespace": options.namespace},
        "data": {job.program.name: program},
    }


def _jobset(job: Job, options: KubernetesOptions) -> dict[str, Any]:
    tpu = job.mesh.hardware.platform == "tpu"
    division = divide(job.mesh, options.nodes, options.per_node)
    slices = job.mesh.slices if tpu else 1
    metadata: dict[str, Any] = {"name": job.name, "namespace": options.namespace}
    if tpu:  # one slice, one pool of machines
        metadata["annotations"] = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "failurePolicy": {
                "maxRestarts": job.restarts,
                "restartStrategy": "BlockingRecreate",
                "rules": [
                    {"name": "cannotStart", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]},
                ],
            },
            "replicatedJobs": [
                {
                    "name": WORKERS,
                    "replicas": slices,
                    "template": {"spec": _job(job, options, division, division.nodes // slices)},
                }
            ],
        },
    }


def _job(job: Job, options: KubernetesOptions, division: Division, pods: int) -> dict[str, Any]:
    return {
        "parallelism": pods,
        "completions": pods,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "train", "operator": "In", "values": [MISUSED]},
                }
            ]
        },
        "template": {"spec": _pod(job, options, division)},
    }


def _pod(job: Job, options: KubernetesOptions, division: Division) -> dict[str, Any]:
    selector = {**_tpu_labels(job.mesh), **(options.node_selector or {})}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.grace_seconds,
        **({"nodeSelector": selector} if selector else {}),
        "containers": [_container(job, options, division)],
        "volumes": [
            {"name": "program", "configMap": {"name": f"{job.name}-program"}},
            {"name": "runs", "persistentVolumeClaim": {"claimName": options.claim}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }


def _tpu_labels(mesh: MeshSpec) -> dict[str, str]:
    if mesh.hardware.platform != "tpu" or mesh.topology is None:
        return {}
    return {
        "cloud.google.com/gke-tpu-accelerator": ACCELERATORS[mesh.hardware.name],
        "cloud.google.com/gke-tpu-topology": "x".join(map(str, mesh.topology)),
    }


def _container(job: Job, options: KubernetesOptions, division: Division) -> dict[str, Any]:
    meeting = _membership(job, division)
    container: dict[str, Any] = {
        "name": "train",
        "image": options.image,
        "workingDir": RUNS_FOLDER,
        "command": [options.python, "-P", f"{PROGRAM_FOLDER}/{job.program.name}"],
        "args": [*job.arguments, "--out", f"{RUNS_FOLDER}/{job.name}", *meeting],
        "env": [_pod_index()] if meeting else [],
        "resources": _resources(job.mesh, options, division),
        "volumeMounts": [
            {"name": "program", "mountPath": PROGRAM_FOLDER, "readOnly": True},
            {"name": "runs", "mountPath": RUNS_FOLDER},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    return {key: value for key, value in container.items() if value != [] and value != {}}


def _membership(job: Job, division: Division) -> list[str]:
    """How the processes meet; on TPUs the environment says it."""
    if job.mesh.hardware.platform == "tpu":
        return []
    first = f"{job.name}-{WORKERS}-0-0.{job.name}:{COORDINATOR_PORT}"
    return ["--coordinator", first, "--processes", str(division.nodes), "--process", "$(POD_INDEX)"]


def _pod_index() -> dict[str, Any]:
    field = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    return {"name": "POD_INDEX", "valueFrom": {"fieldRef": {"fieldPath": field}}}


def _resources(mesh: MeshSpec, options: KubernetesOptions, division: Division) -> dict[str, Any]:
    """Chips are asked for as a limit, which is the request too."""
    chips = division.devices_per_node // mesh.hardware.devices_per_chip
    names = {"tpu": "google.com/tpu", "gpu": "amd.com/gpu" if mesh.hardware.name == "mi300x" else "nvidia.com/gpu"}
    name = names.get(mesh.hardware.platform)
    limits = {"limits": {name: chips}} if name else {}
    return {**limits, **({"requests": {"cpu": options.cpus}} if options.cpus is not None else {})}
