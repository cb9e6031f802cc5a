"""RMSprop: steps scaled by a running mean of the squared gradient."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.update import Number, add, addcdiv, addcmul, given, lerp, mul, sqrt, update_rule
from mashal.optim.checks import at_least, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def rmsprop(
    p, g, step: Number, square_avg, momentum_buffer=None, grad_avg=None, *,
    lr, alpha, eps, momentum, weight_decay=0, maximize: bool,
):  # fmt: skip
    """p - lr·g / (√v + eps) with v the mean of g² (centered: its variance); with momentum that quotient is summed up."""
    g = -g if maximize else g
    if given(weight_decay):
        g = add(g, p, weight_decay)
    square_avg = addcmul(mul(square_avg, alpha), g, g, 1 - alpha)
    variance = square_avg
    if grad_avg is not None:
        grad_avg = lerp(grad_avg, g, 1 - alpha)
        variance = addcmul(square_avg, grad_avg, grad_avg, -1)
    scale = add(sqrt(variance), eps)
    if momentum_buffer is None:
        return addcdiv(p, g, scale, -lr), step + 1, square_avg, None, grad_avg
    buffer = addcdiv(mul(momentum_buffer, momentum), g, scale)
    return add(p, buffer, -lr), step + 1, square_avg, buffer, grad_avg


class RMSprop(RuleOptimizer):
    """RMSprop: each element's step is lr times its gradient over the root of the mean of its squares.

    alpha: how slowly the mean forgets. eps: keeps the quotient finite. momentum: sums the quotients up. centered:
    divides by the standard deviation instead. weight_decay: adds weight_decay·p to the gradient. maximize: ascends.
    foreach, capturable: accepted; a step is always one kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.RMSprop([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9000, -1.9000], requires_grad=True)
    """

    rule = rmsprop
    conditions = {"momentum_buffer": "momentum", "grad_avg": "centered"}

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        one_element("RMSprop", lr=lr)
        at_least(0.0, "RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
