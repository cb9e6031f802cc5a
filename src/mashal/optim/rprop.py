"""Rprop: only the sign of the gradient counts, each element has a step size of its own."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.expression import maximum, minimum
from mashal.lang.update import Number, addcmul, beside, update_rule, where
from mashal.optim.checks import at_least, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def rprop(p, g, step: Number, prev, step_size, *, etaminus, etaplus, smallest, largest, maximize: bool):
    """p - size·sign(g); size grows while the sign stays, shrinks where it has changed (and there the step is left out)."""
    g = -g if maximize else g
    agreement = g * prev
    factor = where(agreement > 0, beside(p, etaplus), where(agreement < 0, beside(p, etaminus), 1.0))
    size = minimum(maximum(step_size * factor, beside(p, smallest)), beside(p, largest))
    g = where(agreement < 0, 0.0, g)
    sign = where(g > 0, beside(p, 1.0), where(g < 0, beside(p, -1.0), 0.0))
    return addcmul(p, sign, size, -1), step + 1, g, size


class Rprop(RuleOptimizer):
    """Rprop: each element takes steps of its own size against the sign of its gradient. For full batches.

    lr: the first step size. etas: factors for the size where the sign has changed and where it has not, 0 < etas[0]
    < 1 < etas[1]. step_sizes: the smallest and the largest size. maximize: ascends. foreach, capturable: accepted;
    a step is always one kernel. Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Rprop([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9900, -1.9900], requires_grad=True)
    """

    rule = rprop

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        one_element("Rprop", lr=lr)
        at_least(0.0, "Rprop", lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(message("Rprop", f"etas is {tuple(etas)}", "it must be 0 < etas[0] < 1 < etas[1]"))
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return *group["etas"], *group["step_sizes"]

    def _initial(self, group: dict[str, Any], p: Tensor, name: str) -> Any:
        lr = group["lr"]
        return 0.0 if name != "step_size" else complex(lr, lr) if p.is_complex() else float(lr)
