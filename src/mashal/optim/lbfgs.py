"""LBFGS: steps along the gradient times an estimate of the inverse Hessian, made of the last steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mashal.core.tape import enable_grad, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops import zeros
from mashal.optim.checks import at_least, one_element
from mashal.optim.linesearch import strong_wolfe
from mashal.optim.optimizer import Optimizer


class LBFGS(Optimizer):
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno; for smooth losses over whole data sets.

    lr: length of a step (of the first to try, with a line search). max_iter, max_eval: steps and evaluations of the closure
    in one call of step. tolerance_grad, tolerance_change: where it stops. history_size: how many steps are remembered.
    line_search_fn: None or "strong_wolfe". All parameters are in one group, else ValueError. step needs the closure.

    >>> w = torch.tensor([3.0], requires_grad=True)
    >>> optimizer = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> w
    tensor([1.], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        one_element("LBFGS", lr=lr)
        at_least(0.0, "LBFGS", lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(
                message("LBFGS", f"line_search_fn is {line_search_fn!r}", "it must be None or 'strong_wolfe'")
            )
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(
                message("LBFGS", f"there are {len(self.param_groups)} parameter groups", "it takes only one")
            )

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    # ---------------------------------------------------------------- all parameters as one vector
    def _gradient(self) -> Tensor:
        """All gradients, one after another; zeros where there is none."""
        flat = zeros(sum(p.numel() for p in self._params), dtype=self._params[0].dtype)
        for p, part in self._parts(flat):
            if p.grad is not None:
                part.copy_(p.grad)
        return flat

    def _parts(self, flat: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each parameter with its part of a vector, in its shape."""
        start = 0
        for p in self._params:
            yield p, flat[start : start + p.numel()].view(p.shape)
            start += p.numel()

    def _move(self, t: Any, direction: Tensor) -> None:
        for p, part in self._parts(direction):
            p.add_(part, alpha=t)

    # ---------------------------------------------------------------- a step
    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Up to max_iter steps; closure computes the loss and its gradients anew. Returns the loss before them."""
        self._runs_in_python()
        group, evaluate = self.param_groups[0], enable_grad()(closure)
        state = self.state[self._params[0]]
        for name in ("func_evals", "n_iter"):
            state.setdefault(name, 0)
        first_loss = evaluate()
        loss, gradient, evaluations = float(first_loss), self._gradient(), 1
        state["func_evals"] += 1
        flat = gradient.abs().max().item() <= group["tolerance_grad"]
        for i in range(1, group["max_iter"] + 1) if not flat else ():
            state["n_iter"] += 1
            direction = self._direction(state, gradient)
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            t, slope = self._first_length(state, gradient), gradient.dot(direction)
            state["d"], state["t"] = direction, t
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                most = group["max_eval"] - evaluations
                loss, gradient, t, count = self._search(evaluate, t, direction, loss, gradient, slope, most)
                self._move(t, direction)
            else:
                self._move(t, direction)
                count = 0
                if i < group["max_iter"]:
                    loss, gradient, count = float(evaluate()), self._gradient(), 1
            state["t"] = t
            evaluations += count
            state["func_evals"] += count
            if evaluations >= group["max_eval"] or self._arrived(loss, gradient, direction, t):
                break
        return first_loss

    def _arrived(self, loss: float, gradient: Tensor, direction: Tensor, t: Any) -> bool:
        group, before = self.param_groups[0], self.state[self._params[0]]["prev_loss"]
        return (
            gradient.abs().max().item() <= group["tolerance_grad"]
            or (direction * t).abs().max().item() <= group["tolerance_change"]
            or abs(loss - before) < group["tolerance_change"]
        )

    def _first_length(self, state: dict[str, Any], gradient: Tensor) -> Any:
        lr = self.param_groups[0]["lr"]
        lr = lr.reshape(()) if isinstance(lr, Tensor) else lr
        return min(1.0, 1.0 / gradient.abs().sum()) * lr if state["n_iter"] == 1 else lr

    def _direction(self, state: dict[str, Any], gradient: Tensor) -> Tensor:
        """Minus the gradient times the estimate of the inverse Hessian, which learns from the last step."""
        if state["n_iter"] == 1:
            state["old_dirs"], state["old_stps"], state["ro"], state["H_diag"] = [], [], [], 1
            return -gradient
        changes, steps, factors = state["old_dirs"], state["old_stps"], state["ro"]
        shares = state.setdefault("al", [None] * self.param_groups[0]["history_size"])
        change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = change.dot(step)
        if curvature > 1e-10:
            if len(changes) == self.param_groups[0]["history_size"]:
                for remembered in (changes, steps, factors):
                    remembered.pop(0)
            changes.append(change)
            steps.append(step)
            factors.append(1.0 / curvature)
            state["H_diag"] = curvature / change.dot(change)
        q = -gradient
        for i in reversed(range(len(changes))):
            shares[i] = steps[i].dot(q) * factors[i]
            q.add_(changes[i], alpha=-shares[i].item())
        q = q * state["H_diag"]
        for i in range(len(changes)):
            q.add_(steps[i], alpha=(shares[i] - changes[i].dot(q) * factors[i]).item())
        return q

    def _search(
        self,
        evaluate: Callable[[], Any],
        t: Any,
        direction: Tensor,
        loss: float,
        gradient: Tensor,
        slope: Tensor,
        most: int,
    ) -> tuple[float, Tensor, Any, int]:
        """A good length along the direction; the parameters stay where they are."""
        start = [p.clone() for p in self._params]

        def at(t: Any) -> tuple[float, Tensor]:
            self._move(t, direction)
            found = float(evaluate()), self._gradient()
            for p, value in zip(self._params, start):
                p.copy_(value)
            return found

        return strong_wolfe(at, t, direction, loss, gradient, slope, most=most)
