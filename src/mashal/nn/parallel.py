"""Modules on several devices at once. Where there is none but the cpu, a DataParallel is the module it holds."""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Sequence
from typing import Any

from mashal import ops
from mashal.core.devices import device as Device
from mashal.core.devices import usable
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.module import Module

__all__ = ["DataParallel", "data_parallel", "gather", "parallel_apply", "replicate", "scatter"]


class DataParallel(Module):
    """Runs a module on several devices, each with its share of the batch; without any, where it is.

    >>> model = nn.DataParallel(nn.Linear(2, 3))
    >>> list(model.state_dict()), model(torch.ones(4, 2)).shape
    (['module.weight', 'module.bias'], torch.Size([4, 3]))
    """

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.dim, self.device_ids, self.output_device = dim, [], output_device

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """module(*inputs) on several devices; without any, where it is."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))


def _place(target: Any) -> Any:
    return usable(Device(f"cuda:{target}" if isinstance(target, int) else target))


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> list[Any]:
    """Inputs for each device: tensors (also within lists and dictionaries) are cut along dim, all else is shared."""
    places = [_place(target) for target in target_gpus]
    if isinstance(inputs, Tensor):
        return [part.to(place) for part, place in zip(inputs.chunk(len(places), dim), places)]  # type: ignore[attr-defined]
    if isinstance(inputs, (list, tuple)) and inputs:
        return [type(inputs)(parts) for parts in zip(*(scatter(x, target_gpus, dim) for x in inputs))]
    if isinstance(inputs, dict) and inputs:
        return [dict(zip(inputs, parts)) for parts in zip(*(scatter(x, target_gpus, dim) for x in inputs.values()))]
    return [inputs for _ in places]


def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """Outputs of several devices joined on one: tensors along dim, 0-d ones into a vector.

    >>> nn.parallel.gather([torch.ones(2), torch.zeros(1)], "cpu")
    tensor([1., 1., 0.])
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        moved = [x.to(_place(target_device)) for x in outputs]
        return ops.stack(moved) if not first.dim() else ops.cat(moved, dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(x) != len(first) for x in outputs):
            raise ValueError("gather: All dicts must have the same number of keys")
        return type(first)((k, gather([x[k] for x in outputs], target_device, dim)) for k in first)
    return type(first)(gather(parts, target_device, dim) for parts in zip(*outputs))


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Any]:
    """A copy of a module for each device."""
    return [copy.deepcopy(network).to(_place(place)) for place in devices]


def parallel_apply(
    modules: Sequence[Module], inputs: Sequence[Any], kwargs_tup: Sequence[Any] | None = None, devices: Any = None
) -> list[Any]:
    """Each module applied to its inputs (a tuple of arguments, or the one argument)."""
    if len(modules) != len(inputs):
        raise AssertionError(
            f"parallel_apply: the number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}"
        )
    options = kwargs_tup or [{}] * len(modules)
    given = [x if isinstance(x, (list, tuple)) else (x,) for x in inputs]
    return [module(*x, **kwargs) for module, x, kwargs in zip(modules, given, options)]


scatter_gather = types.ModuleType(f"{__name__}.scatter_gather", "PyTorch's place of scatter and gather.")
vars(scatter_gather).update(scatter=scatter, gather=gather)
sys.modules[scatter_gather.__name__] = scatter_gather
__getattr__ = nearest(__name__)
