"""All laws, by the name that `budget.law` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from moec.compiler.laws import (
    abnar,
    besiroglu,
    chinchilla,
    clark,
    frantar,
    hoffmann,
    joint_moe,
    krajewski,
    yun,
)
from moec.compiler.laws.law import Law

LAWS: Final[Mapping[str, Law]] = MappingProxyType(
    {
        module.LAW.name: module.LAW
        for module in (chinchilla, hoffmann, besiroglu, joint_moe, krajewski, clark, abnar, frantar, yun)
    }
)
