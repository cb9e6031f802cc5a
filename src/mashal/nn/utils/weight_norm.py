"""Weights as a length times a direction: weight = g · v / ‖v‖, the lengths one for each row of a dimension."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter

__all__ = ["WeightNorm", "norm_except_dim", "remove_weight_norm", "weight_norm", "weighted"]


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norms of v's slices along dim, with v's rank; dim=-1: of the whole."""
    if dim == -1:
        return v.norm(pow)  # type: ignore[attr-defined]
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    if not others:
        return v.abs()  # type: ignore[attr-defined]
    return v.norm(pow, others, keepdim=True)  # type: ignore[attr-defined]


def weighted(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """g · v / ‖v‖."""
    return v * (g / norm_except_dim(v, 2, dim))


class WeightNorm:
    """The hook before forward that computes the weight from NAME_g and NAME_v."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Any:
        """The weight of the module's g and v."""
        return weighted(getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g"), self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Puts the hook into a module. RuntimeError: it is there already."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        module.register_parameter(f"{name}_g", Parameter(norm_except_dim(weight, 2, hook.dim).data))  # type: ignore[attr-defined]
        module.register_parameter(f"{name}_v", Parameter(weight.data))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Makes the weight a parameter again, as it is."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[f"{self.name}_g"]
        del module._parameters[f"{self.name}_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Trains a weight's lengths (NAME_g) and directions (NAME_v) instead of the weight; returns the module.

    dim: whose slices have a length each; None: one length for all. New code takes nn.utils.parametrizations.weight_norm.

    >>> layer = nn.utils.weight_norm(nn.Linear(4, 3))
    >>> layer.weight_g.shape, layer.weight_v.shape
    (torch.Size([3, 1]), torch.Size([3, 4]))
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undoes weight_norm; the weight keeps its value. ValueError: there is none."""
    for number, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
