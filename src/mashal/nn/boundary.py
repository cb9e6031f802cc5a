"""Where backward enters and leaves a module: what full backward hooks stand on.

A module with full backward hooks has its outputs and its inputs passed through an operation that changes nothing.
Backward meets the outputs' one first (the pre-hooks run, and may replace the gradients of the outputs), later the
inputs' one (the hooks run, and may replace the gradients of the inputs). Where no input needs a gradient, the hooks
run as backward enters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.autograd import Function
from mashal.core.tape import is_grad_enabled
from mashal.core.tensor import Tensor

Gradients = tuple[Any, ...]


class BackwardHookFunction(Function):
    """The operation that changes nothing; `visit` sees the gradients on their way back.

    zeros: whether a gradient that nothing flowed into comes as zeros (as PyTorch shows inputs') or None (outputs').
    """

    @staticmethod
    def forward(ctx: Any, visit: Callable[[Gradients], Gradients], zeros: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.visit = visit
        ctx.set_materialize_grads(zeros)
        ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, None, *ctx.visit(gradients)


class Boundary:
    """One call of a module, seen from backward.

    pre_hooks: called as hook(module, grad_output); hooks: as hook(module, grad_input, grad_output). What a hook
    returns, unless None, replaces the gradients it may change; it must have as many entries.
    """

    def __init__(self, module: Any, pre_hooks: list[Callable], hooks: list[Callable]) -> None:
        self.module = module
        self.pre_hooks = pre_hooks
        self.hooks = hooks
        self.grad_output: Gradients | None = None  # until backward has come in through the outputs
        self.inputs_follow = False

    def around_inputs(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the tensors among them replaced by ones that backward leaves through."""
        passed, tensors = _through(arguments, self._leave, zeros=True)
        self.positions = [position for position, a in enumerate(arguments) if isinstance(a, Tensor)]
        self.count = len(arguments)
        self.inputs_follow = any(t.requires_grad for t in tensors)
        return tuple(passed)

    def around_output(self, output: Any) -> Any:
        """The output, the tensors in it replaced by ones that backward enters through."""
        several = isinstance(output, tuple)
        values = output if several else (output,)
        self.output_positions = [position for position, value in enumerate(values) if isinstance(value, Tensor)]
        self.output_count = len(values)
        passed, _ = _through(values, self._enter, zeros=False)
        if not several:
            return passed[0]
        return type(output)(*passed) if hasattr(output, "_fields") else tuple(passed)

    def _enter(self, gradients: Gradients) -> Gradients:
        whole = _spread(gradients, self.output_positions, self.output_count)
        for hook in self.pre_hooks:
            whole = _replaced(hook(self.module, whole), whole, "full_backward_pre_hook")
        self.grad_output = whole
        if not self.inputs_follow:
            for hook in self.hooks:
                returned = hook(self.module, (None,) * self.count, whole)
                if returned is not None and any(gradient is not None for gradient in returned):
                    raise RuntimeError(
                        "full_backward_hook: the hook returned new gradients, but no input of the "
                        f"{type(self.module).__name__} requires one; return None"
                    )
        return tuple(whole[position] for position in self.output_positions)

    def _leave(self, gradients: Gradients) -> Gradients:
        if self.grad_output is None:  # it came to the inputs some other way
            return gradients
        whole = _spread(gradients, self.positions, self.count)
        for hook in self.hooks:
            whole = _replaced(hook(self.module, whole, self.grad_output), whole, "full_backward_hook")
        return tuple(whole[position] for position in self.positions)


def _through(values: Any, visit: Callable[[Gradients], Gradients], zeros: bool) -> tuple[list[Any], list[Tensor]]:
    """values with its tensors passed through the operation, and those tensors, if backward will come by at all."""
    passed = list(values)
    tensors = [value for value in values if isinstance(value, Tensor)]
    if is_grad_enabled() and any(t.requires_grad for t in tensors):
        followed = iter(BackwardHookFunction.apply(visit, zeros, *tensors))
        passed = [next(followed) if isinstance(value, Tensor) else value for value in values]
    return passed, tensors


def _spread(gradients: Gradients, positions: list[int], count: int) -> Gradients:
    """Gradients of the tensors at their positions among `count` values, None elsewhere."""
    whole: list[Any] = [None] * count
    for position, gradient in zip(positions, gradients, strict=True):
        whole[position] = gradient
    return tuple(whole)


def _replaced(returned: Any, gradients: Gradients, kind: str) -> Gradients:
    """The gradients after a hook: what it returned, or as they were."""
    if returned is None:
        return gradients
    returned = returned if isinstance(returned, (tuple, list)) else (returned,)
    if len(returned) != len(gradients):
        raise RuntimeError(f"{kind}: the hook returned {len(returned)} gradients; {len(gradients)} were passed to it")
    return tuple(returned)
