"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.update import add, given, mul, update_rule
from mashal.optim.checks import at_least, flavours, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def sgd(
    p, g, momentum_buffer=None, *, lr, momentum, dampening, weight_decay=0, nesterov: bool, maximize: bool, first: bool
):
    """p - lr·b, where b = momentum·b + (1 - dampening)·g; the first b is the gradient."""
    g = -g if maximize else g
    if given(weight_decay):
        g = add(g, p, weight_decay)
    b = momentum_buffer
    if b is not None:
        b = g if first else add(mul(b, momentum), g, 1 - dampening)
        g = add(g, b, momentum) if nesterov else b
    return add(p, g, -lr), b


class SGD(RuleOptimizer):
    """Stochastic gradient descent: p ← p - lr·g, with momentum p ← p - lr·b, b ← momentum·b + (1 - dampening)·g.

    lr: learning rate, a number or a 1-element tensor. momentum: 0 is none. dampening: how much less the gradient
    counts in b from the second step on. weight_decay: adds weight_decay·p to the gradient. nesterov: looks ahead,
    p ← p - lr·(g + momentum·b); needs momentum and no dampening. maximize: ascends.
    foreach, fused: accepted; a step is always one kernel. differentiable: see `Adam`.
    Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000, 1.6000], requires_grad=True)
    """

    rule = sgd
    conditions = {"momentum_buffer": "momentum"}

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        one_element("SGD", lr=lr)
        at_least(0, "SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            wrong = f"nesterov=True with momentum={momentum} and dampening={dampening}"
            raise ValueError(message("SGD", wrong, "it needs momentum above 0 and dampening=0"))
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        flavours("SGD", foreach, differentiable, fused)

    def _begins_apart(self, group: dict[str, Any]) -> bool:
        return bool(group["dampening"])

    def _initial(self, group: dict[str, Any], p: Any, name: str) -> float:
        return -0.0  # to which the first gradient is added without a change, 0's sign included

    def _takes_sparse(self, group: dict[str, Any]) -> bool:
        return not group["momentum"] and not group["weight_decay"]

    def _step_sparse(self, group: dict[str, Any], p: Any) -> None:
        p.add_(p.grad, alpha=float(group["lr"]) * (1 if group["maximize"] else -1))
