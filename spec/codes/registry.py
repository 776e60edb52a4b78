"""All codes, from the modules that construct them.

A new code takes four steps: a constructor and a `CodeInfo` in the module of its hundreds, a page
`docs/errors/MOEnnnn.md`, and a test. A new module is imported here and joins MODULES. See `docs/errors/README.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from moec.spec.codes import (
    allowances,
    budget,
    depth_routing,
    experts,
    files,
    lints,
    memory,
    mesh,
    model,
    names,
    run,
    syntax,
    types,
    yaml_form,
)
from moec.spec.codes.info import CodeInfo

MODULES: Final = (
    *(files, syntax, yaml_form, names, types),
    *(model, mesh, experts, depth_routing, budget, memory, run, lints, allowances),
)

CODES: Final[Mapping[str, CodeInfo]] = MappingProxyType(
    {info.code: info for module in MODULES for info in module.CODES}
)
