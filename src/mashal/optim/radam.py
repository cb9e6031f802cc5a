"""RAdam: Adam whose first steps don't trust the mean of the squares."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.update import Number, add, addcmul, div, given, lerp, mul, power, sqrt, update_rule, where
from mashal.optim.checks import at_least, fraction, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def radam(
    p, g, step: Number, exp_avg, exp_avg_sq, *,
    lr, beta1, beta2, eps, weight_decay=0, maximize: bool, decoupled_weight_decay: bool,
):  # fmt: skip
    """Adam times a factor for the variance of its scale; plain momentum while that is not known (rho ≤ 5)."""
    step = step + 1
    g = -g if maximize else g
    if given(weight_decay):
        if decoupled_weight_decay:
            p = mul(p, 1 - lr * weight_decay)
        else:
            g = add(g, p, weight_decay)
    exp_avg = lerp(exp_avg, g, 1 - beta1)
    exp_avg_sq = addcmul(mul(exp_avg_sq, beta2), g, g, 1 - beta2)
    unbiased = 1 - power(beta2, step)
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * step * power(beta2, step) / unbiased
    factor = power((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho), 0.5)
    update = mul(div(exp_avg, 1 - power(beta1, step)), lr)
    adaptive = mul(1.0 / add(sqrt(exp_avg_sq), eps), power(unbiased, 0.5))
    rectified = mul(update * adaptive, factor)
    return p - where(rho > 5.0, rectified, update), step, exp_avg, exp_avg_sq


class RAdam(RuleOptimizer):
    """RAdam: Adam with a factor that makes up for how little its first steps know about the scale.

    betas, eps, weight_decay, decoupled_weight_decay: as for Adam. maximize: ascends. foreach, capturable: accepted;
    a step is always one kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.RAdam([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9980, -1.9960], requires_grad=True)
    """

    rule = radam

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        one_element("RAdam", lr=lr)
        at_least(0.0, "RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        fraction("RAdam", beta1=betas[0], beta2=betas[1])
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["lr"], *group["betas"], group["eps"], group["weight_decay"]
