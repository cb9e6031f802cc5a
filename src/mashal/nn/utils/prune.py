"""Pruning: parameters of which some elements, or whole channels, are kept at 0.

Every function takes (module, name, …), prunes that parameter in place and returns the module; `remove` makes it final. amount: a share
from 0 to 1, or how many. `pruning` says how it works.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mashal import ops
from mashal.core.layouts import contiguous_format
from mashal.core.tensor import Tensor
from mashal.nearest import nearest
from mashal.nn.module import Module
from mashal.nn.utils.pruning import BasePruningMethod, PruningContainer, check_amount, count_of

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer", "RandomStructured",
    "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip


# ---------------------------------------------------------------- methods
class Identity(BasePruningMethod):
    """Prunes nothing: the parameter gets a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask as it was."""
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes elements drawn at random."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask with elements drawn at random set to 0."""
        mask: Any = default_mask.clone(memory_format=contiguous_format)  # type: ignore[attr-defined]
        count = count_of(self.amount, t.numel())
        if count:
            mask.view(-1)[ops.topk(ops.rand_like(t).view(-1), count).indices] = 0  # type: ignore[attr-defined]
        return mask


class L1Unstructured(BasePruningMethod):
    """Prunes the elements of least magnitude."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask with the elements of least magnitude set to 0."""
        mask: Any = default_mask.clone(memory_format=contiguous_format)  # type: ignore[attr-defined]
        count = count_of(self.amount, t.numel())
        if count:
            mask.view(-1)[ops.topk(ops.abs(t).reshape(-1), count, largest=False).indices] = 0  # type: ignore[attr-defined]
        return mask


class _Structured(BasePruningMethod):
    PRUNING_TYPE = "structured"
    amount: Any
    dim: int

    def _count(self, t: Tensor) -> int:
        if t.dim() <= 1:
            raise ValueError(
                f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {tuple(t.shape)} with "
                f"{t.dim()} dims"
            )
        if not -t.dim() <= self.dim < t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {tuple(t.shape)}")
        return count_of(self.amount, t.shape[self.dim])

    def _mask(self, t: Tensor, default_mask: Tensor, kept: Tensor) -> Tensor:
        mask = ops.zeros_like(t)
        part: list[Any] = [slice(None)] * t.dim()
        part[self.dim] = kept
        mask[tuple(part)] = 1
        return mask * default_mask.to(dtype=mask.dtype)  # type: ignore[attr-defined]


class RandomStructured(_Structured):
    """Prunes channels along dim, drawn at random."""

    def __init__(self, amount: Any, dim: int = -1) -> None:
        check_amount(amount)
        self.amount, self.dim = amount, dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask with channels drawn at random set to 0."""
        count = self._count(t)
        if not count:
            return default_mask
        chances = ops.rand(t.shape[self.dim])
        kept = ops.topk(chances, t.shape[self.dim] - count).indices  # type: ignore[attr-defined]
        return self._mask(t, default_mask, kept)


class LnStructured(_Structured):
    """Prunes the channels along dim of least n-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        check_amount(amount)
        self.amount, self.n, self.dim = amount, n, dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask with the channels of least norm set to 0."""
        count = self._count(t)
        if not count:
            return default_mask
        others = [d for d in range(t.dim()) if d != self.dim % t.dim()]
        norms = ops.norm(t, self.n, others)
        kept = ops.topk(norms, t.shape[self.dim] - count).indices  # type: ignore[attr-defined]
        return self._mask(t, default_mask, kept)


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask of one's own."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Any:
        """Both masks together."""
        return default_mask * self.mask.to(dtype=default_mask.dtype)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- functions
def identity(module: Module, name: str) -> Module:
    """Gives a parameter a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prunes elements drawn at random.

    >>> layer = nn.utils.prune.random_unstructured(nn.Linear(4, 2), "weight", amount=3)
    >>> int((layer.weight_mask == 0).sum())
    3
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: Any, importance_scores: Tensor | None = None) -> Module:
    """Prunes the elements of least magnitude, or of the least importance_scores.

    >>> layer = nn.utils.prune.l1_unstructured(nn.Linear(4, 2), "weight", amount=0.5)
    >>> int((layer.weight == 0).sum())
    4
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prunes channels along dim, drawn at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the channels along dim of least n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes by a mask of the parameter's shape."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prunes several parameters, (module, name) each, as if they were one. TypeError, ValueError: parameters is no such list, or the
    method not unstructured."""
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs = list(parameters)
    scores: Any = importance_scores or {}
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    together = ops.cat([scores.get((m, n), getattr(m, n)).reshape(-1) for m, n in pairs])
    masks = ops.cat([getattr(m, f"{n}_mask", ops.ones_like(getattr(m, n))).reshape(-1) for m, n in pairs])
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} of type '
            f"{method.PRUNING_TYPE}"
        )
    container.add_pruning_method(method)
    final, start = container.compute_mask(together, masks), 0
    for module, name in pairs:
        whole = getattr(module, name)
        custom_from_mask(module, name, final[start : start + whole.numel()].view_as(whole))
        start += whole.numel()


def remove(module: Module, name: str) -> Module:
    """Makes a pruned parameter a parameter again, with its zeros. ValueError: it is not pruned."""
    for number, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether any parameter of a module, or of one within, is pruned."""
    return any(isinstance(h, BasePruningMethod) for m in module.modules() for h in m._forward_pre_hooks.values())


__getattr__ = nearest(__name__)
