"""Adafactor: second moments of matrices kept as their row and column means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import finfo, float32, float64, get_default_dtype
from mashal.core.tape import enable_grad, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.observing import number
from mashal.ops import norm, tensor, zeros_like
from mashal.optim.checks import at_least, one_element
from mashal.optim.optimizer import Optimizer

__all__ = ["Adafactor"]

_OPTIONS = ("eps", "d", "maximize", "weight_decay")  # that a step depends on, apart from numbers


class Adafactor(Optimizer):
    """Steps relative to each parameter's size, scaled by the gradient's second moments, which are products of row and column means.

    lr: the relative step, at most; it falls with 1/√step. beta2_decay: how the means' rate falls, step ** beta2_decay. eps: (added to
    squares, by default the dtype's; least size of a parameter). d: updates of a larger root mean square are shortened to it.

    >>> w = torch.ones(2, 2, requires_grad=True)
    >>> optimizer = torch.optim.Adafactor([w], lr=0.1)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w[0, 0]
    tensor(0.9000, grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        one_element("Adafactor", lr=lr)
        at_least(0.0, "Adafactor", lr=lr, weight_decay=weight_decay, eps2=eps[1])
        at_least(1.0, "Adafactor", d=d)
        if eps[0] is not None:
            at_least(0.0, "Adafactor", eps1=eps[0])
        if not beta2_decay <= 0.0:
            raise ValueError(message("Adafactor", f"beta2_decay is {beta2_decay}", "it must be 0 or less"))
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _state_of(self, p: Any) -> dict[str, Any]:
        if p.dtype.is_complex:
            raise RuntimeError("Adafactor does not support complex parameters")
        if p.grad.is_sparse:
            raise RuntimeError("Adafactor does not support sparse gradients")
        state = self.state[p]
        if not state:
            state["step"] = tensor(0.0, dtype=float64 if get_default_dtype() is float64 else float32)
            shape = p.grad.shape
            if p.grad.dim() > 1:
                state["row_var"] = p.grad.new_zeros((*shape[:-1], 1))
                state["col_var"] = p.grad.new_zeros((*shape[:-2], 1, shape[-1]))
            else:
                state["variance"] = zeros_like(p.grad)
        return state

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
                        self._relies_on(group, p, _OPTIONS, _states(p.grad))
                        _step(p, self._state_of(p), group)
        return loss


def _states(g: Any) -> list[str]:
    return ["step", "row_var", "col_var"] if g.dim() > 1 else ["step", "variance"]


def _step(p: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
    eps1, eps2 = group["eps"]
    eps1 = finfo(p.dtype).eps if eps1 is None else eps1
    g = -p.grad if group["maximize"] else p.grad
    taken = lambda: float(state["step"]) + 1
    rate = _weight(number(lambda: taken() ** group["beta2_decay"], group, state["step"]), g)
    length = number(lambda: min(float(group["lr"]), 1 / taken() ** 0.5), group, group["lr"], state["step"])
    shrunk = number(lambda: float(1 - group["lr"] * group["weight_decay"]), group, group["lr"])
    state["step"] += 1
    size = (norm(p).double() / p.numel() ** 0.5).clamp_(min=eps2)
    if group["weight_decay"]:
        p.mul_(shrunk)
    if g.dim() > 1:
        rows, columns = state["row_var"], state["col_var"]
        rows.lerp_(norm(g, dim=-1, keepdim=True).square_().div_(g.size(-1)), rate)  # type: ignore[attr-defined]
        columns.lerp_(norm(g, dim=-2, keepdim=True).square_().div_(g.size(-2)), rate)  # type: ignore[attr-defined]
        variance = (rows @ columns).div_(rows.mean(dim=-2, keepdim=True).clamp_(min=eps1))
    else:
        variance = state["variance"].lerp_(g * g, rate).clone()
    update = variance.clamp_(min=eps1 * eps1).rsqrt_().mul_(g)
    shorter = (norm(update).double() / (update.numel() ** 0.5 * group["d"])).clamp_(min=1.0)  # type: ignore[attr-defined]
    p.sub_(update * (size * length / shorter))


def _weight(rate: Any, g: Tensor) -> Any:
    """A number as lerp takes it: a tensor of g's dtype, if it is one."""
    return rate.to(g.dtype) if isinstance(rate, Tensor) else rate
