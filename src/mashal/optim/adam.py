"""Adam: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.expression import maximum
from mashal.lang.update import Number, add, addcdiv, addcmul, div, given, lerp, mul, power, sqrt, update_rule
from mashal.optim.checks import at_least, flavours, fraction, one_element
from mashal.optim.rules import RuleOptimizer


@update_rule
def adam(
    p, g, step: Number, exp_avg, exp_avg_sq, max_exp_avg_sq=None, *,
    lr, beta1, beta2, eps, weight_decay=0, maximize: bool, decoupled_weight_decay: bool,
):  # fmt: skip
    """p - lr·m̂ / (√v̂ + eps), with m and v the running means of g and g², freed of their bias towards 0."""
    step = step + 1
    g = -g if maximize else g
    if given(weight_decay):
        if decoupled_weight_decay:
            p = mul(p, 1 - lr * weight_decay)
        else:
            g = add(g, p, weight_decay)
    m = lerp(exp_avg, g, 1 - beta1)
    v = addcmul(mul(exp_avg_sq, beta2), g, g, 1 - beta2)
    largest = v if max_exp_avg_sq is None else maximum(max_exp_avg_sq, v)
    size = lr / (1 - power(beta1, step))
    scale = add(div(sqrt(largest), power(1 - power(beta2, step), 0.5)), eps)
    return addcdiv(p, m, scale, -size), step, m, v, largest


class Adam(RuleOptimizer):
    """Adam: each element's step is lr times the mean of its gradients over the root of the mean of their squares.

    lr: learning rate, a number or a 1-element tensor. betas: how slowly the two means forget, each in [0, 1).
    eps: keeps the quotient finite. weight_decay: adds weight_decay·p to the gradient, or with
    decoupled_weight_decay=True (that is AdamW) shrinks p by lr·weight_decay instead. amsgrad: never lets the mean of the
    squares fall. maximize: ascends. foreach, fused, capturable: accepted; a step is always one kernel.
    Results agree with PyTorch's (foreach=False) in float32: the operations and their order are the same.
    Raises ValueError for values out of range.

    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9000, -1.9000], requires_grad=True)
    """

    rule = adam
    conditions = {"max_exp_avg_sq": "amsgrad"}

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(message(name, "lr is a tensor and foreach=True", "that needs capturable=True"))
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
            raise ValueError(
                message(name, "one of betas is a tensor", "betas must be either both floats or both Tensors")
            )
        if isinstance(betas[0], Tensor) and foreach and not capturable:
            raise ValueError(message(name, "betas are tensors and foreach=True", "that needs capturable=True"))
        one_element(name, lr=lr, beta1=betas[0], beta2=betas[1])
        at_least(0.0, name, lr=lr, eps=eps, weight_decay=weight_decay)
        fraction(name, beta1=betas[0], beta2=betas[1])
        betas = tuple(b.item() if isinstance(b, Tensor) else b for b in betas)  # type: ignore[assignment]
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        flavours(name, foreach, differentiable, fused)

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        beta1, beta2 = group["betas"]
        return group["lr"], beta1, beta2, group["eps"], group["weight_decay"]
