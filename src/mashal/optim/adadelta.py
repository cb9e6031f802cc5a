"""Adadelta: steps whose size is that of the steps before, relative to the gradients."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.update import Number, add, addcmul, given, mul, sqrt, update_rule
from mashal.optim.checks import at_least, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def adadelta(p, g, step: Number, square_avg, acc_delta, *, lr, rho, eps, weight_decay=0, maximize: bool):
    """p - lr·d with d = g·√(mean of d² + eps) / √(mean of g² + eps)"""
    g = -g if maximize else g
    if given(weight_decay):
        g = add(g, p, weight_decay)
    square_avg = addcmul(mul(square_avg, rho), g, g, 1 - rho)
    delta = sqrt(add(acc_delta, eps)) / sqrt(add(square_avg, eps)) * g
    acc_delta = addcmul(mul(acc_delta, rho), delta, delta, 1 - rho)
    return add(p, delta, -lr), step + 1, square_avg, acc_delta


class Adadelta(RuleOptimizer):
    """Adadelta: each element's step has the size of its last steps, relative to its last gradients.

    lr: factor for the step. rho: how slowly the running means forget, in [0, 1]. eps: keeps the quotient finite and
    starts the steps. weight_decay: adds weight_decay·p to the gradient. maximize: ascends. foreach, capturable:
    accepted; a step is always one kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9968, -1.9968], requires_grad=True)
    """

    rule = adadelta

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        one_element("Adadelta", lr=lr)
        at_least(0.0, "Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(message("Adadelta", f"rho is {rho}", "it must be from 0 to 1"))
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "capturable": capturable,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
