"""The options of `moec launch` that only one engine has; here `moec --help` finds them without the engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser

ONLY_FOR = {
    "slurm": ("partition", "account", "qos", "time", "setup", "sbatch"),
    "kubernetes": ("image", "namespace", "claim", "node_selector"),
}


def add_slurm(parser: ArgumentParser) -> None:
    """The options of `--on slurm` alone."""
    group = parser.add_argument_group("slurm")
    group.add_argument("--partition", metavar="NAME", help="where the job waits (default: the cluster's)")
    group.add_argument("--account", metavar="NAME", help="who pays (default: the cluster's)")
    group.add_argument("--qos", metavar="NAME", help="quality of service (default: the cluster's)")
    group.add_argument(
        "--time",
        metavar="LIMIT",
        help="of one stretch, as for sbatch: 90, 24:00:00, 2-12 (default: the cluster's)",
    )
    group.add_argument(
        "--setup",
        metavar="LINE",
        action="append",
        help="a line of shell before the run, as in 'module load cuda'; may be given several times",
    )
    group.add_argument(
        "--sbatch",
        metavar="OPTION",
        action="append",
        help="a further option for sbatch, as in --sbatch=--mail-type=END; may be given several times",
    )


def add_kubernetes(parser: ArgumentParser) -> None:
    """The options of `--on kubernetes` alone."""
    group = parser.add_argument_group("kubernetes")
    group.add_argument("--image", metavar="NAME", help="a container image with moec and JAX for the chip (required)")
    group.add_argument(
        "--claim", metavar="NAME", help="the PersistentVolumeClaim that all pods can write: runs live there (required)"
    )
    group.add_argument("--namespace", metavar="NAME", help="default: default")
    group.add_argument(
        "--node-selector",
        metavar="KEY=VALUE",
        action="append",
        help="a label that machines must have; may be given several times (TPU labels are there already)",
    )
