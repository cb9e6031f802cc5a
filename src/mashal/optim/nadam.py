"""NAdam: Adam with Nesterov's look ahead."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.update import Number, add, addcdiv, addcmul, div, given, lerp, mul, power, rounded, sqrt, update_rule
from mashal.optim.checks import at_least, fraction, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def nadam(
    p, g, step: Number, mu_product: Number, exp_avg, exp_avg_sq, *,
    lr, beta1, beta2, eps, momentum_decay, weight_decay=0, maximize: bool, decoupled_weight_decay: bool,
):  # fmt: skip
    """Adam, but with the mean that the next step would have: a part of the gradient and a part of the mean."""
    step = step + 1
    g = -g if maximize else g
    if given(weight_decay):
        if decoupled_weight_decay:
            p = mul(p, 1 - lr * weight_decay)
        else:
            g = add(g, p, weight_decay)
    mu = beta1 * (1.0 - 0.5 * power(0.96, step * momentum_decay))
    mu_next = beta1 * (1.0 - 0.5 * power(0.96, (step + 1) * momentum_decay))
    mu_product = rounded(mu_product * rounded(mu))
    exp_avg = lerp(exp_avg, g, 1 - beta1)
    exp_avg_sq = addcmul(mul(exp_avg_sq, beta2), g, g, 1 - beta2)
    scale = add(sqrt(div(exp_avg_sq, 1 - power(beta2, step))), eps)
    p = addcdiv(p, g, scale, -lr * (1.0 - mu) / (1.0 - mu_product))
    p = addcdiv(p, exp_avg, scale, (-lr * mu_next) / (1.0 - mu_product * mu_next))
    return p, step, mu_product, exp_avg, exp_avg_sq


class NAdam(RuleOptimizer):
    """NAdam: Adam that looks one step of momentum ahead.

    betas, eps, weight_decay, decoupled_weight_decay: as for Adam. momentum_decay: how fast the momentum warms up.
    maximize: ascends. foreach, capturable: accepted; a step is always one kernel. Raises ValueError for values out
    of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.NAdam([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9979, -1.9979], requires_grad=True)
    """

    rule = nadam

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        one_element("NAdam", lr=lr)
        at_least(0.0, "NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        fraction("NAdam", beta1=betas[0], beta2=betas[1])
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return group["lr"], *group["betas"], group["eps"], group["momentum_decay"], group["weight_decay"]

    def _initial(self, group: dict[str, Any], p: Tensor, name: str) -> Any:
        return 1.0 if name == "mu_product" else 0.0
