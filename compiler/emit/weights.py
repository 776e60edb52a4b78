"""TensorPlan -> the line of the program that makes the weight: shape, sharding, scale, and a comment with the dims."""

from __future__ import annotations

from moec.compiler.emit.holes import Code, code, comment, identifier, lines, literal, rounded
from moec.compiler.emit.layout import call, given, keyword, partition_spec
from moec.compiler.plan import DimSpec, Plan, TensorPlan

BODY_INDENT = 8


def has_weight(plan: Plan, owner: str, name: str) -> bool:
    """Whether the class `owner` of this program makes a weight of that name."""
    return any(tensor.owner == owner and tensor.name == name for tensor in plan.tensors)


def weights(plan: Plan, owner: str, *names: str) -> Code:
    """The lines of `owner.__init__` that make its weights: those of `names`, or all where no name is given."""
    mine = [tensor for tensor in plan.tensors if tensor.owner == owner]
    return lines(*(weight(tensor) for tensor in mine if not names or tensor.name in names))


def weight(tensor: TensorPlan) -> Code:
    """`self.w_q = init.normal((128, 4, 32), P("fsdp", "model", None), std=0.0883883)  # [D/fsdp, N/model, H]`."""
    made_by = code("self.{name} = init.{how}", name=identifier(tensor.name), how=identifier(_initializer(tensor)))
    arguments = [literal(tensor.shape), partition_spec(tensor.sharding)]
    if tensor.init == "normal":
        arguments.append(keyword("std", rounded(tensor.std)))
    if tensor.dtype != "float32":
        arguments.append(given("dtype", tensor.dtype))
    if tensor.decay != (tensor.init == "normal"):
        arguments.append(given("decay", tensor.decay))
    return call(made_by, *arguments, indent=BODY_INDENT, remark=comment(sharded_dims(tensor.dims, tensor.sharding)))


def _initializer(tensor: TensorPlan) -> str:
    return tensor.init if tensor.trainable else "state"


def sharded_dims(dims: tuple[str, ...], sharding: tuple[DimSpec, ...]) -> str:
    """`[E/expert, D/fsdp, F/model]`: each dim over the mesh axes that cut it."""
    return f"[{', '.join(_sharded_dim(dim, axes) for dim, axes in zip(dims, sharding, strict=True))}]"


def _sharded_dim(dim: str, axes: DimSpec) -> str:
    if not axes:
        return dim
    return f"{dim}/{axes[0]}" if len(axes) == 1 else f"{dim}/({', '.join(axes)})"
