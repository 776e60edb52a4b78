"""The compiler's list of what a program may use is what the runtime has: the contract between the two."""

from __future__ import annotations

import importlib
import inspect

import jax
import optax
import pytest
from flax import nnx
from jax import numpy as jnp

from moec.compiler.emit.allowed import INITIALIZER, LIBRARY_NAMES, RUNTIME
from moec.runtime.initializer import Initializer

CALLED = [(module, name) for module, names in RUNTIME.items() for name, parameters in names.items() if parameters]
MODULES = {"jax": jax, "jnp": jnp, "nnx": nnx, "optax": optax}


def check_parameters(function, listed):
    """Every listed parameter exists, positional ones come first and in order, and none that is needed is missing."""
    parameters = inspect.signature(function).parameters
    assert [name for name in listed if name not in parameters] == []
    needed = [name for name, one in parameters.items() if one.default is inspect.Parameter.empty]
    assert [name for name in needed if name not in listed] == []
    positional = [name for name, one in parameters.items() if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [name for name in listed if name in positional] == positional[: len(set(listed) & set(positional))]


@pytest.mark.parametrize("module", RUNTIME)
def test_every_listed_name_is_in_its_module(module):
    found = vars(importlib.import_module(module))
    assert [name for name in RUNTIME[module] if name not in found] == []


@pytest.mark.parametrize(("module", "name"), CALLED)
def test_listed_parameters_are_those_of_the_runtime(module, name):
    check_parameters(vars(importlib.import_module(module))[name], RUNTIME[module][name])


@pytest.mark.parametrize("method", INITIALIZER)
def test_listed_parameters_are_those_of_the_initializer(method):
    check_parameters(inspect.unwrap(vars(Initializer)[method]).__get__(Initializer(0)), INITIALIZER[method])


@pytest.mark.parametrize("name", sorted(LIBRARY_NAMES))
def test_every_listed_library_name_exists(name):
    root, *rest = name.split(".")
    value = MODULES[root]
    for part in rest:
        value = getattr(value, part)
    assert value is not None
