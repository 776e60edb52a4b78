"""A mesh that this machine has not is refused with what was found and the ways out."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from moec.runtime.devices import check_devices, platform_of
from moec.runtime.failure import RunError
from moec.runtime.mesh import MeshShape
from moec.runtime.processes import Membership, launched_by_cluster, membership_of, process_count


def shape(hardware: str, devices: int) -> MeshShape:
    return MeshShape(hardware=hardware, data=devices, fsdp=1, expert=1, seq=1, model=1)


@pytest.mark.parametrize(("hardware", "platform"), [("cpu", "cpu"), ("tpu_v5p", "tpu"), ("h100", "gpu")])
def test_hardware_names_belong_to_platforms(hardware: str, platform: str) -> None:
    assert platform_of(hardware) == platform


def test_a_mesh_that_fits_is_accepted() -> None:
    check_devices(shape("cpu", 8))


ON_EIGHT = """
import sys, time
import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from moec.runtime.checksums import checksums
from moec.runtime.devices import prepare_devices
from moec.runtime.mesh import MeshShape, make_mesh
shape = MeshShape(hardware="cpu", data=2, fsdp=2, expert=2, seq=1, model=1)
prepare_devices(shape)
mesh = make_mesh(shape)
"""

COUNT_THREADS = """
from pathlib import Path
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
print(names.count("tf_XLAEigen"))
"""

STEPS_ON_ONE = """
import resource, sys, threading, time
import jax
from jax import numpy as jnp
from moec.runtime.devices import prepare_devices
from moec.runtime.heap import keep_freed
from moec.runtime.mesh import MeshShape
prepare_devices(MeshShape(hardware="cpu", data=1, fsdp=1, expert=1, seq=1, model=1))
def grow(times, start):
    return jnp.sum(jax.lax.fori_loop(0, times, lambda _, held: held * 0.5 + start, jnp.full((4096, 8192), start)))
step = jax.jit(grow)
if sys.argv[1] == "keep":
    keep_freed()
for _ in range(6):
    step(3, 1.0).block_until_ready()
ticks, is_over = 0, threading.Event()
def tick():
    global ticks
    while not is_over.wait(0.005):
        ticks += 1
thread = threading.Thread(target=tick)
thread.start()
before, ticks_before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, ticks
for _ in range(4):
    step(3, 1.0).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, ticks - ticks_before)
is_over.set()
"""

SUM_UP = """
specs = [PartitionSpec("fsdp"), PartitionSpec("expert", "fsdp"), PartitionSpec(), PartitionSpec(("data", "expert"))]
arrays = [np.full((16, 16 + 8 * (number % 5)), number, np.float32) for number in range(60)]
end = time.monotonic() + 60
while time.monotonic() < end:
    placed = {
        str(number): jax.device_put(array, NamedSharding(mesh, specs[number % 4]))
        for number, array in enumerate(arrays)
    }
    assert len(checksums(placed)) == 60
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_each_virtual_device_has_two_threads() -> None:
    done = subprocess.run([sys.executable, "-c", ON_EIGHT + COUNT_THREADS], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 16


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="a C library without malloc_trim")
def test_steps_on_one_cpu_use_the_memory_of_those_before_and_let_other_threads_work() -> None:
    """What a step holds meanwhile is 128 MiB: 64 huge pages at least, or 32,768 others."""
    faults, ticks = {}, {}
    for way in ("keep", "give back"):
        command = [sys.executable, "-c", STEPS_ON_ONE, way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        faults[way], ticks[way] = map(int, done.stdout.split())
    assert faults["give back"] >= 4 * 64
    assert faults["keep"] < faults["give back"] // 4
    assert ticks["keep"] > 0


@pytest.mark.slow
def test_many_collectives_at_once_end_no_process() -> None:
    """With as many threads as devices, two of three such processes were ended by XLA within a minute."""
    processes = [subprocess.Popen([sys.executable, "-c", ON_EIGHT + SUM_UP]) for _ in range(3)]
    assert [process.wait(timeout=200) for process in processes] == [0, 0, 0]


@pytest.mark.parametrize("wanted", [shape("h100", 8), shape("tpu_v5p", 4), shape("cpu", 16)])
def test_a_mesh_that_is_not_here_has_three_ways_out(wanted: MeshShape) -> None:
    with pytest.raises(RunError) as caught:
        check_devices(wanted)
    message = str(caught.value)
    assert f"{wanted.devices} x {wanted.hardware}" in message
    assert "this machine has 8 x cpu" in message
    assert all(f"  {number}. " in message for number in (1, 2, 3))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("environment", "launched"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, False),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, True),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_only_a_job_of_several_tasks_is_joined(environment: dict[str, str], launched: bool) -> None:
    assert launched_by_cluster(environment) is launched


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}, 1),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, 4),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, 2),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, 1),
    ],
)
def test_a_launcher_says_how_many_processes_share_the_devices(environment: dict[str, str], count: int) -> None:
    assert process_count(None, environment) == count
    assert process_count(Membership("localhost:1", 8, 0), environment) == 8


def test_the_three_options_of_a_process_go_together() -> None:
    assert membership_of(None, None, None) is None
    assert membership_of("localhost:1", 2, 0) == Membership("localhost:1", 2, 0)
    with pytest.raises(RunError, match="all three or none"):
        membership_of("localhost:1", 2, None)


def test_a_platform_that_jax_cannot_use_has_three_ways_out_and_the_plan_s_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_there() -> list[jax.Device]:
        raise RuntimeError("Unable to initialize backend 'cuda': no driver")

    monkeypatch.setattr(jax, "devices", none_there)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(RunError) as caught:
        check_devices(shape("tpu_v5p", 4), lambda: "each device needs 5.00 GB")
    message = str(caught.value)
    assert "no device that JAX can use (Unable to initialize backend 'cuda': no driver)" in message
    assert "the plan: each device needs 5.00 GB" in message
    assert "  2. JAX_PLATFORMS=cuda hides other devices: unset it" in message
    assert "  3. " in message
