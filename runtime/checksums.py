"""A checksum of an array that depends on its numbers alone, not on how it lies on which devices."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from jax import numpy as jnp
from jax.sharding import NamedSharding

from moec.runtime.mesh import replicated

UNSIGNED = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}
"""What the bits of a number of so many bytes are read as; eight bytes as two numbers of four."""

SALTS = (0x9E3779B9, 0x7F4A7C15)
"""Assumption: any two different odd numbers; these are the two halves of 2^64 over the golden ratio."""


def checksums(arrays: Mapping[str, jax.Array]) -> dict[str, str]:
    """16 hexadecimal digits per array, worked out on the devices where the arrays lie.

    Each number's bits are mixed with its place in the array, and the results added up modulo 2^32, twice with different
    salts. Such a sum is the same on every mesh and every number of processes. One number that changes always changes
    it, because the mixing is one to one; several changes go unseen with a chance of 2^-64.
    """
    sums: dict[str, jax.Array] = {}
    for name, array in arrays.items():
        sums[name] = _sums_on_mesh(array)
        if jax.process_count() > 1:  # on CPU, programs under way at once may meet in another order in another process
            sums[name].block_until_ready()
    fetched = jax.device_get(sums)
    return {name: "".join(f"{int(part):08x}" for part in found) for name, found in fetched.items()}


def _sums_on_mesh(array: jax.Array) -> jax.Array:
    place = array.sharding
    if isinstance(place, NamedSharding):
        return jax.jit(_sums, out_shardings=replicated(place.mesh))(array)
    return jax.jit(_sums)(array)


def _sums(array: jax.Array) -> jax.Array:
    bits = jax.lax.bitcast_convert_type(array, UNSIGNED[array.dtype.itemsize]).astype(jnp.uint32)
    place = _places(bits.shape)
    return jnp.stack([jnp.sum(_mixed(bits ^ _mixed(place ^ jnp.uint32(salt))), dtype=jnp.uint32) for salt in SALTS])


def _places(shape: tuple[int, ...]) -> jax.Array:
    """The number of each element in row-major order, modulo 2^32."""
    places, stride = jnp.zeros(shape, jnp.uint32), 1
    for dim in reversed(range(len(shape))):
        places += jax.lax.broadcasted_iota(jnp.uint32, shape, dim) * jnp.uint32(stride % 2**32)
        stride *= shape[dim]
    return places


def _mixed(bits: jax.Array) -> jax.Array:
    """Every bit of the result depends on every bit that is given, one to one.

    Source: the finalizer of MurmurHash3 (fmix32), A. Appleby, https://github.com/aappleby/smhasher.
    """
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)
