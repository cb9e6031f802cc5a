"""How pruning works: a mask in a buffer, and a hook that multiplies it with what is trained.

A pruned parameter NAME lies in NAME_orig, its mask in the buffer NAME_mask; before every forward the hook sets NAME to their product.
`prune` has the functions; the methods here say which elements are kept.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from mashal import ops
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.nn.module import Module

__all__ = ["BasePruningMethod", "PruningContainer"]


class BasePruningMethod(ABC):
    """What a method of pruning is made of: compute_mask, and PRUNING_TYPE ("unstructured", "structured" or "global")."""

    _tensor_name: str
    PRUNING_TYPE: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of a tensor of importance scores, within another mask."""

    def apply_mask(self, module: Module) -> Any:
        """The parameter of a module multiplied by its mask."""
        if self._tensor_name is None:
            raise AssertionError(f"prune: Module {module} has to be pruned")
        mask, original = getattr(module, f"{self._tensor_name}_mask"), getattr(module, f"{self._tensor_name}_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prunes a parameter by this method; one that is pruned already within what is left of it."""
        old = _hook_of(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name = name
        original = getattr(module, name)
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise AssertionError(
                f"prune: importance_scores should have the same shape as parameter {name} of {module}: {tuple(original.shape)}, "
                f"not {tuple(scores.shape)}"
            )
        container: BasePruningMethod = method
        if old is not None:
            container = PruningContainer(old)
            container.add_pruning_method(method)
        elif not isinstance(getattr(module, f"{name}_orig", None), Tensor):
            whole = module._parameters[name]
            del module._parameters[name]
            module.register_parameter(f"{name}_orig", whole)
            original = whole
        default = getattr(module, f"{name}_mask", None)
        default = ops.ones_like(original) if default is None else default
        try:
            with no_grad():
                mask = container.compute_mask(scores, default)
            module.register_buffer(f"{name}_mask", mask)
            setattr(module, name, container.apply_mask(module))
            module.register_forward_pre_hook(container)
        except Exception:
            if old is None:
                kept = module._parameters.pop(f"{name}_orig")
                module._buffers.pop(f"{name}_mask", None)
                module.register_parameter(name, kept)
            raise
        return container

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Any:
        """A tensor pruned by this method; nothing is kept of it."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                f"prune: importance_scores should have the same shape as tensor t: {tuple(t.shape)}, not {tuple(scores.shape)}"
            )
        mask = self.compute_mask(scores, ops.ones_like(t) if default_mask is None else default_mask)
        return t * mask

    def remove(self, module: Module) -> None:
        """Makes a pruned parameter a parameter again, with its zeros; the hook is the caller's to remove."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"prune: Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original: Any = module._parameters[f"{name}_orig"]
        original.data = weight.data
        del module._parameters[f"{name}_orig"]
        del module._buffers[f"{name}_mask"]
        setattr(module, name, original)


def _hook_of(module: Module, name: str) -> BasePruningMethod | None:
    """The hook that prunes a parameter, taken out of the module."""
    found = [
        (number, hook)
        for number, hook in module._forward_pre_hooks.items()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    ]
    if len(found) > 1:
        raise AssertionError(
            f"prune: Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a PruningContainer."
        )
    for number, hook in found:
        del module._forward_pre_hooks[number]
        return hook
    return None


class PruningContainer(BasePruningMethod):
    """Methods of pruning applied to one parameter, one behind the other."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if not isinstance(args, Iterable) or len(args) != 1:
            methods = args
        else:
            methods = args[0] if isinstance(args[0], PruningContainer) else args
        if methods:
            self._tensor_name = next(iter(methods))._tensor_name
        for method in methods:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """One more. TypeError: it is no method; ValueError: it is another parameter's."""
        if method is None:
            return
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"prune: {type(method)} is not a BasePruningMethod subclass")
        if self._pruning_methods and method._tensor_name != self._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer {self}. "
                f"Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask that the last method makes of what the others have left."""
        method, mask = self._pruning_methods[-1], default_mask
        if method.PRUNING_TYPE == "unstructured":
            part: Any = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim  # type: ignore[attr-defined]
            others = [d for d in range(t.dim()) if d != dim % t.dim()]
            keeps = mask.sum(others) != 0 if others else mask != 0  # type: ignore[attr-defined]
            part = [slice(None)] * t.dim()
            part[dim] = keeps
            part = tuple(part)
        elif method.PRUNING_TYPE == "global":
            part = (slice(None),) * t.dim()
        else:
            raise ValueError(f"prune: Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        inner = method.compute_mask(t[part], default_mask=mask[part])
        made = mask.clone()  # type: ignore[attr-defined]
        made[part] = inner.to(dtype=made.dtype)  # type: ignore[attr-defined]
        return made


# ---------------------------------------------------------------- amounts
def check_amount(amount: Any) -> None:
    """TypeError or ValueError unless an amount is a share from 0 to 1 or a number of elements."""
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if (isinstance(amount, numbers.Integral) and amount < 0) or (
        not isinstance(amount, numbers.Integral) and not 0.0 <= float(amount) <= 1.0
    ):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def count_of(amount: Any, size: int) -> int:
    """How many of `size` an amount is. ValueError: more than there are."""
    if isinstance(amount, numbers.Integral):
        if int(amount) > size:
            raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
        return int(amount)
    return round(amount * size)
