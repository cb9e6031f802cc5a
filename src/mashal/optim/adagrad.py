"""Adagrad: steps that shrink with the sum of all squared gradients so far."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.lang.update import Number, add, addcdiv, addcmul, given, sqrt, update_rule
from mashal.optim.checks import at_least, flavours, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def adagrad(p, g, step: Number, sum, *, lr, lr_decay, eps, weight_decay=0, maximize: bool):
    """p - lr/(1 + (step - 1)·lr_decay)·g / (√Σg² + eps)"""
    step = step + 1
    g = -g if maximize else g
    if given(weight_decay):
        g = add(g, p, weight_decay)
    size = lr / (1 + (step - 1) * lr_decay)
    sum = addcmul(sum, g, g)
    return addcdiv(p, g, add(sqrt(sum), eps), -size), step, sum


class Adagrad(RuleOptimizer):
    """Adagrad: each element's step is lr over the root of the sum of its squared gradients.

    lr_decay: lr falls as 1 / (1 + steps·lr_decay). initial_accumulator_value: where the sum begins. weight_decay:
    adds weight_decay·p to the gradient. eps: keeps the quotient finite. maximize: ascends. foreach, fused:
    accepted; a step is always one kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adagrad([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9900, -1.9900], requires_grad=True)
    """

    rule = adagrad

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        one_element("Adagrad", lr=lr)
        at_least(0.0, "Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps,
                 initial_accumulator_value=initial_accumulator_value)  # fmt: skip
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        flavours("Adagrad", foreach, differentiable, fused)
        for group in self.param_groups:
            for p in group["params"]:
                self._make_states(group, p)

    def share_memory(self) -> None:
        """Moves the states to memory that other processes can share."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def _initial(self, group: dict[str, Any], p: Tensor, name: str) -> Any:
        start = group["initial_accumulator_value"]
        return 0.0 if name == "step" else complex(start, start) if p.is_complex() else start
