"""Adamax: Adam with the largest gradient in place of the mean square."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.expression import abs_, maximum
from mashal.lang.update import Number, add, addcdiv, given, lerp, mul, power, update_rule
from mashal.optim.checks import at_least, fraction, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def adamax(p, g, step: Number, exp_avg, exp_inf, *, lr, beta1, beta2, eps, weight_decay=0, maximize: bool):
    """p - lr·m̂ / u with m the running mean of g and u the largest of beta2·u and |g| + eps."""
    step = step + 1
    g = -g if maximize else g
    if given(weight_decay):
        g = add(g, p, weight_decay)
    exp_avg = lerp(exp_avg, g, 1 - beta1)
    exp_inf = maximum(mul(exp_inf, beta2), add(abs_(g), eps))
    return addcdiv(p, exp_avg, exp_inf, -(lr / (1 - power(beta1, step)))), step, exp_avg, exp_inf


class Adamax(RuleOptimizer):
    """Adamax: Adam with the largest recent gradient in place of the root of the mean square.

    betas: how slowly the mean and the largest value forget, each in [0, 1). eps: is added to |g|. weight_decay:
    adds weight_decay·p to the gradient. maximize: ascends. foreach, capturable: accepted; a step is always one
    kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adamax([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9980, -1.9980], requires_grad=True)
    """

    rule = adamax

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        one_element("Adamax", lr=lr)
        at_least(0.0, "Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        fraction("Adamax", beta1=betas[0], beta2=betas[1])
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["lr"], *group["betas"], group["eps"], group["weight_decay"]
