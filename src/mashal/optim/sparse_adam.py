"""SparseAdam: Adam for gradients that are there for some rows only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mashal.core.tape import enable_grad, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops import zeros_like
from mashal.optim.checks import fraction, one_element
from mashal.optim.optimizer import Optimizer

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam that changes means and parameters only where a sparse gradient has values; all else stays as it is.

    Parameters are dense, gradients sparse (COO), else RuntimeError. The options are Adam's.

    >>> w = torch.ones(3, requires_grad=True)
    >>> optimizer = torch.optim.SparseAdam([w], lr=0.1)
    >>> w.grad = torch.sparse_coo_tensor([[1]], [2.0], (3,))
    >>> optimizer.step()
    >>> w
    tensor([1.0000, 0.9000, 1.0000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        one_element("SparseAdam", lr=lr)
        for name, value in (("lr", lr), ("eps", eps)):
            if not value > 0.0:
                raise ValueError(message("SparseAdam", f"{name} is {value}", "it must be above 0"))
        fraction("SparseAdam", beta1=betas[0], beta2=betas[1])
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        for i, group in enumerate(self.param_groups):
            for k, p in enumerate(group["params"]):
                if p.is_sparse or p.dtype.is_complex:
                    kind = "sparse" if p.is_sparse else "complex"
                    raise ValueError(
                        message("SparseAdam", f"parameter {k} of group {i} is {kind}", "it must be dense and real")
                    )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes all parameters that have a gradient. closure: computes the loss anew; it is what step returns."""
        self._runs_in_python()
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
        if not p.grad.is_sparse:
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state.update(step=0, exp_avg=zeros_like(p), exp_avg_sq=zeros_like(p))
        state["step"] += 1
        g = p.grad.coalesce()
        places, values = tuple(g._indices().unbind(0)), g._values()
        if not values.numel():
            return
        values = -values if group["maximize"] else values
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        old_mean, old_square = mean[places], square[places]
        mean[places] = new_mean = old_mean + (values - old_mean) * (1 - beta1)
        square[places] = new_square = old_square + (values * values - old_square) * (1 - beta2)
        t = state["step"]
        size = float(group["lr"]) * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        p[places] = p[places] - size * new_mean / (new_square.sqrt() + group["eps"])
