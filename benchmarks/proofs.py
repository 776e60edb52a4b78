"""Proves public models for chips that are not here and writes what their compilers said.

    python benchmarks/proofs.py                      all runs of benchmarks/specs/proofs.moe that are not proven yet
    python benchmarks/proofs.py llama3_8b_h100_8     these runs, again

Needs moec[tpu] and moec[cuda] in this interpreter. Proofs are kept in runs/proofs (or --keep), one after the other, so
that the command can be stopped and goes on; the document holds all that are there. All runs take about an hour on two
cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "benchmarks" / "specs" / "proofs.moe"
RESULTS = ROOT / "benchmarks" / "results"
NICENESS = 10
PROVEN, FAILED = 0, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="default: all that have no proof yet")
    parser.add_argument("--keep", type=Path, default=ROOT / "runs" / "proofs", metavar="DIR")
    parser.add_argument("--results", type=Path, default=RESULTS / f"{datetime.date.today()}-proofs.md", metavar="FILE")
    parser.add_argument("--timeout", type=int, default=3600, metavar="SECONDS", help="per proof (default: 3600)")
    options = parser.parse_args()
    names = run_names()
    wanted = options.runs or [name for name in names if not (options.keep / name / "proof.json").is_file()]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"no run {', '.join(unknown)} in {SPEC.name}; there are {', '.join(names)}")
    for name in wanted:
        prove(name, options.keep, options.timeout)
        options.results.write_text(document(names, options.keep), encoding="utf-8")
    options.results.write_text(document(names, options.keep), encoding="utf-8")
    print(f"wrote {options.results}")


def run_names() -> list[str]:
    """The runs of the spec, in order."""
    command = (sys.executable, "-m", "moec.cli.main", "plan", str(SPEC), "--format", "json")
    return list(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def prove(name: str, keep: Path, timeout: int) -> None:
    """Proves one run into its folder of `keep`. Errors: CalledProcessError where it could not be tried."""
    print(f"== {name}", flush=True)
    arguments = ("prove", str(SPEC), "--run", name, "-o", str(keep), "--timeout", str(timeout))
    command = (sys.executable, "-m", "moec.cli.main", *arguments)
    ended = subprocess.run(command, preexec_fn=lambda: os.nice(NICENESS))
    if ended.returncode not in (PROVEN, FAILED):
        raise subprocess.CalledProcessError(ended.returncode, command)


def document(names: list[str], keep: Path) -> str:
    """The Markdown of all proofs in `keep`, in the order of `names`."""
    proofs = {
        name: json.loads((keep / name / "proof.json").read_text(encoding="utf-8"))
        for name in names
        if (keep / name / "proof.json").is_file()
    }
    lines = [
        "# Proofs by compiling",
        "",
        f"`python benchmarks/proofs.py`, {datetime.date.today()}, on {os.cpu_count()} cores ({platform.machine()}),",
        "which other work shared; seconds are those of the compiler alone. Nothing ran on a chip: this shows that",
        "the step compiles, what memory it needs and what its devices exchange, not how fast it is.",
        "",
        "| run | target | devices | proven | compile s | GB per device | of | plan GB | ratio | FLOPs / plan |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|---:|",
        *(_row(name, proof) for name, proof in proofs.items()),
        "",
    ]
    for name, proof in proofs.items():
        lines += _section(name, proof)
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(name: str, proof: dict[str, Any]) -> str:
    against = proof["against_plan"]
    cells = (
        name,
        proof["target"],
        f"{proof['devices']:,}",
        "yes" if proof["ok"] else "**no**",
        _number(proof["compile_seconds"], 1),
        _number(proof["hbm_bytes_per_device"], 2, 10**9),
        _number(proof["hbm_capacity_bytes"], 0, 10**9),
        _number(against["memory"]["planned_bytes"], 2, 10**9),
        _number(against["memory"].get("ratio"), 2),
        _number(against["flops"].get("ratio_to_executed"), 2),
    )
    return f"| {' | '.join(cells)} |"


def _section(name: str, proof: dict[str, Any]) -> list[str]:
    lines = [f"## {name}", ""]
    if proof["collectives"]:
        lines += ["| operation | axis | per step | MB sent per device | plan MB | |", "|---|---|---:|---:|---:|---|"]
    for row in proof["collectives"]:
        planned = _number(row["planned_bytes"] or None, 1, 10**6)
        sent = _number(row["bytes"], 1, 10**6)
        lines.append(f"| {row['op']} | {row['axis']} | {row['count']:,} | {sent} | {planned} | {row['class']} |")
    lines += [""] if proof["collectives"] else []
    for kind in ("failures", "warnings"):
        lines += [f"- {kind.removesuffix('s')}: {' '.join(text.split())}" for text in proof[kind]]
    return [*lines, *([""] if proof["failures"] or proof["warnings"] else [])]


def _number(value: float | None, places: int, unit: int = 1) -> str:
    return "–" if value is None else f"{value / unit:,.{places}f}"


if __name__ == "__main__":
    main()
