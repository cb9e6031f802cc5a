"""copy.copy and copy.deepcopy of tensors, and the gradient's methods that stand elsewhere."""

from __future__ import annotations

import copy
from typing import Any

from mashal.core.forms import form
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor, alias, as_subclass, make, new_view
from mashal.machine.observing import watch
from mashal.ops import clone


def deep_copy(self: Tensor, memo: dict[int, Any]) -> Any:
    """A copy with memory of its own; tensors that share a storage share its copy. RuntimeError for one with a history."""
    if id(self) in memo:
        return memo[id(self)]
    if self.grad_fn is not None:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment: "
            f"this one was made by {self.grad_fn.name()}; use detach() or clone()"
        )
    with no_grad():
        made = make(_copied_storage(self, memo), self.offset, self.form)
        if type(self) is not Tensor:
            made = as_subclass(type(self), made)
        if self.requires_grad:
            made.requires_grad = True
        if self.grad_ is not None:
            made.grad_ = copy.deepcopy(self.grad_, memo)
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    memo[id(self)] = made
    return made


def _copied_storage(x: Tensor, memo: dict[Any, Any]) -> Any:
    """A copy of all memory that x's storage has. While a call is recorded, a kernel makes it."""
    storage = x.untyped_storage()
    if watch.recorder is None or x.capsule is None:
        return copy.deepcopy(storage, memo).capsule
    done: dict[int, Any] = memo.setdefault("copies", {})
    if id(x.capsule) not in done:
        n = storage.nbytes() // x.form.dtype.itemsize
        done[id(x.capsule)] = clone(new_view(alias(x), form(x.form.dtype, x.form.device, (n,)), 0))
    return done[id(x.capsule)].capsule


Tensor.__deepcopy__ = deep_copy  # type: ignore[attr-defined]
