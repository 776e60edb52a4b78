"""Training steps of moec and its peers on the same shapes and random tokens, in turns.

    python benchmarks/peers.py [--shapes 256x4x256 512x4x256] [--tokens 2048] [--seconds 40] [--results FILE]

Peers: the plain step of plain_step.py (the floor), Hugging Face transformers on torch, MaxText. Each runs in its own
process, perhaps in another Python (`--transformers PYTHON`, `--maxtext PYTHON`); one that is not installed there is
skipped with a line. A group starts its peers one after the other, then they take turns until the time is up, each once
the peer before is idle: a step that does not count, then as many as take a second, of which the median does. All get
the same glibc setting for huge pages. A mixture has as many active weights as the dense model. In dense groups moec
takes part twice: as it comes, and with a `remat` policy (`--again`) that makes layers, or all in them but matmuls,
again in the backward pass and needs less memory. MaxText keeps all that it can name, its quickest way here; where no
token may be dropped it takes part by `ragged_dot` and with every expert for every token. On a shared machine whatever
runs takes half as long again for some seconds now and then: the fastest turns say what a step takes, medians what it
took.

Peak memory is all that a process held, libraries and compiler included: run moec and MaxText in environments without
JAX's plugins for GPUs and TPUs, which take 360 MiB by being there, and transformers on torch's CPU build.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path

import plans

from moec.compiler.plan import Plan

sys.path.append(str(Path(__file__).parent / "peer_workers"))
from peer_process import Running
from protocol import BALANCE_LOSS, BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, Work

WORKERS = Path(__file__).parent / "peer_workers"
VOCAB, D_HEAD = 512, 64
LEAST_TURNS = 6
SPEC = """edition = 2026
model peer {{
  vocab_size = {vocab}
  seq_len    = {length}
  n_layers   = {layers}
  d_model    = {width}
  attention {{ n_heads = {heads}, n_kv_heads = {heads} }}
{feed_forward}}}
mesh here {{ hardware = cpu, devices = 1 }}
data text {{ source = python_stdlib, tokenizer = bytes }}
budget b {{ tokens = 2Mi }}
run r {{
  model = peer
  mesh = here
  data = text
  budget = b
  batch {{ tokens = {tokens} }}
  remat {{ policy = {remat} }}
  optimizer {{ peak_lr = {rate}, b1 = {b1}, b2 = {b2}, weight_decay = {decay}, clip_norm = {clip} }}
}}
"""
FFN = "  ffn {{ d_ff = {d_ff}, activation = swiglu }}\n"
EXPERTS = """  experts {{
    n_experts = {n_experts}
    top_k = {top_k}
    d_ff = {d_ff}
    activation = swiglu
    capacity_factor = {capacity}
    balance_loss = {balance}
  }}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who takes part, and how its worker is started."""

    name: str
    worker: str
    python: str
    needs: str
    option: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one group."""

    peer: str
    seconds: float
    against_moec: float
    fastest: float
    fastest_against_moec: float
    first_step: float
    compiling: float
    peak_bytes: int


def main() -> None:
    options = arguments()
    peers = installed(options)
    with ExitStack() as stack:
        results = stack.enter_context(open(options.results, "w", encoding="utf-8")) if options.results else None

        def tell(text: str) -> None:
            print(text, flush=True)
            if results:
                print(text, file=results, flush=True)

        machine = rates()
        tell(heading(peers, machine))
        for title, dense, work in groups(options.shapes, options.tokens, set(options.groups)):
            tell(table(title, work, machine, measured(peers, dense, work, options)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["256x4x256"], metavar="WIDTHxLAYERSxLENGTH")
    parser.add_argument("--tokens", type=int, default=2048, metavar="N", help="of a step (default: %(default)s)")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=list(GROUPS), help="default: all")
    parser.add_argument("--seconds", type=float, default=40.0, help="of turns per group, after the first steps")
    parser.add_argument("--results", metavar="FILE", help="write the Markdown here, too")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="PEER", help="by its name in the tables")
    parser.add_argument("--again", default="full", choices=list(AGAIN), help="moec's policy in its second row of dense")
    parser.add_argument("--transformers", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--maxtext", default=sys.executable, metavar="PYTHON")
    return parser.parse_args()


GROUPS = {
    "dense": (0, 0, None),
    "8-dropless": (8, 2, None),
    "8-capacity": (8, 2, 1.25),
    "32-dropless": (32, 4, None),
    "32-capacity": (32, 4, 1.25),
}

AGAIN = {"full": "moec, layers made again", "save_dots": "moec, all but matmuls made again"}


def groups(shapes: list[str], tokens: int, wanted: set[str]) -> Iterator[tuple[str, Work, Work]]:
    """Title, dense twin and work of each group."""
    for shape in shapes:
        width, layers, length = map(int, shape.split("x"))
        d_ff = 344 * width // 128
        dense = Work(width, layers, length, tokens // length, VOCAB, width // D_HEAD, d_ff, 0, 0, None)
        for name, (n_experts, top_k, capacity) in GROUPS.items():
            if name in wanted:
                work = dense if not n_experts else mixture(dense, n_experts, top_k, capacity)
                yield f"{shape} {name}", dense, work


def mixture(dense: Work, n_experts: int, top_k: int, capacity: float | None) -> Work:
    """Experts so narrow that a token passes through as many weights as in the dense model."""
    sizes = asdict(dense) | {"n_experts": n_experts, "top_k": top_k, "capacity_factor": capacity}
    return Work(**sizes | {"d_ff": dense.d_ff // top_k})


def installed(options: argparse.Namespace) -> list[Peer]:
    """The peers that are there; a line for each that is not."""
    peers = [
        Peer("moec", "moec_worker", sys.executable, "moec"),
        Peer("plain JAX", "plain_worker", sys.executable, "optax"),
        Peer("transformers, grouped_mm", "transformers_worker", options.transformers, "transformers", "grouped_mm"),
        Peer("transformers, eager", "transformers_worker", options.transformers, "transformers", "eager"),
        Peer("MaxText", "maxtext_worker", options.maxtext, "maxtext", "ragged_dot"),
        Peer("MaxText, all experts", "maxtext_worker", options.maxtext, "maxtext", "all_experts"),
    ]
    others = [peer.name for peer in peers[1:]]
    if unknown := [name for name in options.leave_out if name not in others]:
        sys.exit(f"--leave-out {', '.join(unknown)}: no such peer; there are {'; '.join(others)}")
    there = []
    for peer in peers:
        lack = "left out" if peer.name in options.leave_out else lack_of(peer)
        if lack:
            print(f"{peer.name}: skipped, {lack}", file=sys.stderr)
        else:
            there.append(peer)
    return there


def lack_of(peer: Peer) -> str:
    """What the peer needs and is not there; empty where it can run."""
    if shutil.which(peer.python) is None:
        return f"there is no {peer.python}"
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({peer.needs!r}) is None)"
    found = subprocess.run((peer.python, "-c", look), check=False, capture_output=True).returncode == 0
    return "" if found else f"no {peer.needs} in {peer.python}"


def takes_part(peer: Peer, work: Work) -> bool:
    """Whether the peer has that model: torch's experts drop nothing, the plain step's drop, dense needs no choice."""
    if peer.worker == "transformers_worker":
        return work.capacity_factor is None and (bool(work.n_experts) or peer.option == "grouped_mm")
    if peer.worker == "plain_worker":
        return not work.n_experts or work.capacity_factor is not None
    return peer.option != "all_experts" or (bool(work.n_experts) and work.capacity_factor is None)


def measured(peers: list[Peer], dense: Work, work: Work, options: argparse.Namespace) -> list[Row]:
    """Each peer's steps of one group; moec's dense twin takes its turns beside a mixture, and moec with a policy that
    makes things again beside the dense model."""
    tasks = [(peer, work, peer.name) for peer in peers if takes_part(peer, work)]
    again = (peers[0], dense, AGAIN[options.again], options.again)
    tasks.insert(1, again if work is dense else (peers[0], dense, "moec, the dense twin"))
    with ExitStack() as stack:
        running = [stack.enter_context(started(*task)) for task in tasks]
        began = time.perf_counter()
        while time.perf_counter() - began < options.seconds or len(running[0].seconds) < LEAST_TURNS:
            for peer in running:
                peer.turn()
        for peer in running:
            peer.stop()
    return [row(peer, running[0]) for peer in running]


@contextmanager
def started(peer: Peer, work: Work, name: str, remat: str = "none") -> Iterator[Running]:
    """The peer after its first two steps; killed if it is still there at the end. `remat` is a policy of moec's."""
    with tempfile.TemporaryDirectory() as folder:
        program = (
            [str(plans.write_program(plan_of(work, remat), Path(folder)))]
            if peer.worker == "moec_worker"
            else [peer.option]
        )
        command = [peer.python, str(WORKERS / f"{peer.worker}.py"), json.dumps(asdict(work)), *program]
        log = Path(folder) / "log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, env=environment()
            )
        running = Running(name, process, time.perf_counter())
        try:
            running.start()
            yield running
        except RuntimeError:
            print(log.read_text(encoding="utf-8")[-2000:], file=sys.stderr)
            raise
        finally:
            process.kill()
            process.wait()


@cache
def plan_of(work: Work, remat: str = "none") -> Plan:
    """moec's plan for this work."""
    capacity = "dropless" if work.capacity_factor is None else work.capacity_factor
    block = EXPERTS if work.n_experts else FFN
    text = SPEC.format(
        feed_forward=block.format(capacity=capacity, balance=BALANCE_LOSS, **asdict(work)),
        tokens=work.sequences * work.length,
        rate=LEARNING_RATE,
        b1=BETAS[0],
        b2=BETAS[1],
        decay=WEIGHT_DECAY,
        clip=CLIP,
        remat=remat,
        **asdict(work),
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "peer.moe"
        spec.write_text(text, encoding="utf-8")
        return plans.plans_of(spec)["r"]


def environment() -> dict[str, str]:
    """The same for all: huge pages, no GPU or TPU, MaxText without its cloud services."""
    chosen = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "JAX_PLATFORMS": "cpu", "DECOUPLE_GCLOUD": "TRUE"}
    return {**os.environ, **chosen}


def row(peer: Running, moec: Running) -> Row:
    """Medians over the turns, of the seconds and of the ratio, and the fastest turns."""
    ratio = statistics.median(mine / theirs for mine, theirs in zip(moec.seconds, peer.seconds, strict=True))
    fastest = min(peer.seconds)
    return Row(
        peer=peer.name,
        seconds=statistics.median(peer.seconds),
        against_moec=ratio,
        fastest=fastest,
        fastest_against_moec=min(moec.seconds) / fastest,
        first_step=peer.first_step,
        compiling=peer.compiling,
        peak_bytes=peer.peak_bytes,
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine can do at best: float32 matmuls in FLOP/s, memory in bytes per second."""

    flops: float
    bytes: float


def rates() -> Rates:
    """Measured by peer_workers/roofline.py."""
    command = (sys.executable, str(WORKERS / "roofline.py"))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    return Rates(**json.loads(done.stdout))


def ideal_flops(work: Work) -> float:
    """FLOPs of a step by moec's plan: what the mathematics needs, forward and backward."""
    return float(plan_of(work).flops.train_per_token) * work.sequences * work.length


def heading(peers: list[Peer], machine: Rates) -> str:
    names = "; ".join(dict.fromkeys(peer.name for peer in peers))
    return (
        f"# Training steps beside peers\n\n"
        f"Measured {date.today()} with `python benchmarks/peers.py`, {os.cpu_count()} cores, {platform.machine()}, "
        f"load {os.getloadavg()[0]:.1f} at the start.\nPeers here: {names}.\n"
        f"This machine at best: {machine.flops / 1e9:,.0f} GFLOP/s in float32 matmuls of JAX, "
        f"{machine.bytes / 1e9:,.1f} GB/s over large arrays.\n"
    )


def table(title: str, work: Work, machine: Rates, rows: list[Row]) -> str:
    tokens, flops = work.sequences * work.length, ideal_flops(work)
    lines = [
        f"## {title}",
        f"{tokens:,} tokens a step. The mathematics needs {flops / 1e9:,.1f} GFLOP, {flops / machine.flops:.3f} s at "
        f"the machine's best: moec reaches {flops / machine.flops / rows[0].fastest:.0%} of it.\n",
        "| peer | s/step | moec against it | fastest turn | moec against it | start to first step, s | compiling, s | "
        "peak MiB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for told in rows:
        lines.append(
            f"| {told.peer} | {told.seconds:.3f} | {told.against_moec:.2f} | {told.fastest:.3f} | "
            f"{told.fastest_against_moec:.2f} | {told.first_step:.1f} | {told.compiling:.1f} | "
            f"{told.peak_bytes / 2**20:,.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
