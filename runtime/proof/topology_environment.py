"""What must be set before JAX is imported so that it compiles for chips that are not there."""

from __future__ import annotations

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""No chip is looked for, libtpu asks no metadata server, and several compilers may run at once.

Source: tried with jax 0.10.2 to 0.12 (reference/jax-facts.md)."""
