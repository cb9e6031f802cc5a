"""ASGD: gradient descent that also keeps the average of the parameters."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.expression import maximum
from mashal.lang.update import Number, add, given, mul, power, update_rule, where
from mashal.optim.checks import at_least, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def asgd(
    p, g, step: Number, eta: Number, mu: Number, ax, *,
    lr, lambd, alpha, t0, weight_decay=0, maximize: bool,
):  # fmt: skip
    """p - eta·(g + lambd·p), eta falling as (1 + lambd·lr·step)^-alpha; ax averages p from step t0 on."""
    step = step + 1
    g = -g if maximize else g
    if given(weight_decay):
        g = add(g, p, weight_decay)
    p = add(mul(p, 1 - lambd * eta), g, -eta)
    ax = where(mu == 1, p, ax + mul(p - ax, mu))
    return p, step, lr / power(1 + lambd * lr * step, alpha), 1 / maximum(1, step - t0), ax


class ASGD(RuleOptimizer):
    """Averaged stochastic gradient descent: the average of the parameters is in state[p]["ax"].

    lambd: decay of the parameters. alpha: power with which the learning rate falls. t0: step at which averaging
    starts. weight_decay: adds weight_decay·p to the gradient. maximize: ascends. foreach, capturable: accepted; a
    step is always one kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.ASGD([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9800, -1.9600], requires_grad=True)
    """

    rule = asgd

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        one_element("ASGD", lr=lr)
        at_least(0.0, "ASGD", lr=lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _initial(self, group: dict[str, Any], p: Tensor, name: str) -> Any:
        return float(group["lr"]) if name == "eta" else 1.0 if name == "mu" else 0.0
