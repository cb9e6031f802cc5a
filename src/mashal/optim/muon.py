"""Muon: momentum, made orthogonal, for the matrices of hidden layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mashal.core.tape import enable_grad, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.observing import number
from mashal.ops import addmm, matmul, zeros_like
from mashal.optim.checks import at_least, one_element
from mashal.optim.optimizer import Optimizer

__all__ = ["Muon"]

_OPTIONS = (
    "momentum",
    "nesterov",
    "ns_coefficients",
    "ns_steps",
    "eps",
    "adjust_lr_fn",
)  # that a step depends on as a whole
_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    """Steps along the momentum with all singular values brought to about 1, by iterations of Newton and Schulz.

    For parameters of two dimensions only; the others want another optimizer, AdamW say. ns_coefficients, ns_steps, eps: the
    iteration's. adjust_lr_fn: lr · √max(1, rows / columns) for None and "original", 0.2 · lr · √max(rows, columns) for "match_rms_adamw".

    >>> w = torch.eye(2, requires_grad=True)
    >>> optimizer = torch.optim.Muon([w], lr=0.1)
    >>> w.trace().backward()
    >>> optimizer.step()
    >>> bool(w[0, 0] < 1)
    True
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        one_element("Muon", lr=lr)
        at_least(0.0, "Muon", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if adjust_lr_fn not in _ADJUSTMENTS:
            raise ValueError(
                message("Muon", f"adjust_lr_fn is {adjust_lr_fn!r}", "it must be None, 'original' or 'match_rms_adamw'")
            )
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for p in [p for group in self.param_groups for p in group["params"]]:
            if p.ndim != 2:
                raise ValueError(message("Muon", f"a parameter is {tuple(p.shape)}", "all must have 2 dimensions"))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes all parameters that have a gradient. closure: computes the loss anew; it is what step returns."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step(p, group)
        return loss

    def _step(self, p: Any, group: dict[str, Any]) -> None:
        if p.dtype.is_complex:
            raise RuntimeError("Muon does not support complex parameters")
        if p.grad.is_sparse:
            raise RuntimeError("Muon does not support sparse gradients")
        self._relies_on(group, p, _OPTIONS, ["momentum_buffer"])
        state, g, momentum = self.state[p], p.grad, group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = zeros_like(g)
        mean = state["momentum_buffer"].lerp_(g, 1 - momentum)
        update = g.lerp(mean, momentum) if group["nesterov"] else mean
        update = _orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        matched = group["adjust_lr_fn"] == "match_rms_adamw"
        factor = 0.2 * math.sqrt(max(rows, columns)) if matched else math.sqrt(max(1, rows / columns))
        p.mul_(number(lambda: float(1 - group["lr"] * group["weight_decay"]), group, group["lr"]))
        p.add_(update.to(p.dtype) * number(lambda: float(-group["lr"] * factor), group, group["lr"]))


def _orthogonalized(x: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """U·Vᵀ of x = U·S·Vᵀ, roughly, in bfloat16: a polynomial of odd degree applied to the singular values again and again."""
    if steps >= 100:
        raise ValueError(message("Muon", f"ns_steps is {steps}", "it must be less than 100"))
    if len(coefficients) != 3:
        raise ValueError(message("Muon", f"ns_coefficients has {len(coefficients)} values", "it must have 3"))
    a, b, c = coefficients
    tall = x.size(0) > x.size(1)
    y = x.bfloat16().T if tall else x.bfloat16()
    y = y / y.norm().clamp(min=eps)
    for _ in range(steps):
        gram = matmul(y, y.T)
        update = _rounded(gram, gram, gram, b, c)
        y = _rounded(y, update, y, a, 1.0)
    return y.T if tall else y


def _rounded(x: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
    """beta·x + alpha·a·b, brought to bfloat16 once, at the end."""
    return addmm(x.float(), a.float(), b.float(), beta=beta, alpha=alpha).bfloat16()  # type: ignore[attr-defined]
