"""GradScaler: losses scaled up so that float16 gradients don't vanish, and steps left out when they overflow.

The scale, the row of good steps and whether gradients have overflowed are tensors, so that compiled code reads and changes them.
How far a step has come is Python's affair; a recording is told of it.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Iterable
from typing import Any

from mashal.core.dtypes import float32, int32
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.machine.observing import repeated, watch
from mashal.ops import creation, logical_or, where
from mashal.ops.keeping import granted

__all__ = ["GradScaler", "OptState"]


class OptState(enum.Enum):
    """How far an optimizer's step has come."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Scales losses, unscales gradients, and adapts the scale: smaller after an overflow, larger after a row of good steps.

    device: on one that isn't there the scaler is off, with a warning, and passes everything through.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True):  # fmt: skip
        self._device, self._enabled = device, enabled
        if enabled and device != "cpu":
            warnings.warn(
                f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available.  Disabling.",
                stacklevel=2,
            )
            self._enabled = False
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._scale = creation.full((), float(init_scale), dtype=float32)
        self._growth_tracker = creation.zeros((), dtype=int32)
        self._growth_factor, self._backoff_factor, self._growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        self._states: dict[int, OptState] = {}
        self._overflows: dict[int, Tensor] = {}  # another dictionary when an optimizer is added

    # ---------------------------------------------------------------- a step
    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in an iterable, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale  # type: ignore[operator]
        if isinstance(outputs, Iterable):
            return type(outputs)(self.scale(x) for x in outputs)  # type: ignore[call-arg]
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimizer's parameters by the scale; once a step."""
        if not self._enabled:
            return
        state = self._state_of(optimizer)
        if state is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with no_grad():
            self._unscale(optimizer)
        self._mark(id(optimizer), OptState.UNSCALED)

    def _unscale(self, optimizer: Any) -> None:
        """Divides, and finds out whether a gradient is infinite or nan."""
        found = self._overflow_of(optimizer).fill_(False)  # type: ignore[attr-defined]
        inverse = self._scale.double().reciprocal().float()  # type: ignore[attr-defined]
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.mul_(inverse)
                    found.logical_or_(p.grad.isfinite().all().logical_not())

    def _overflow_of(self, optimizer: Any) -> Tensor:
        """Where it is kept whether an optimizer's gradients have overflowed."""
        self._rely("_overflows")
        if id(optimizer) not in self._overflows:
            if watch.recorder is not None:
                watch.recorder.unfinished("GradScaler meets an optimizer")
            self._overflows = {**self._overflows, id(optimizer): creation.zeros((), dtype=bool)}
        return self._overflows[id(optimizer)]

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), unless a gradient is infinite or nan."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        state = self._state_of(optimizer)
        if state is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state is OptState.READY:
            self.unscale_(optimizer)
        result = None if granted(self._overflow_of(optimizer)) else optimizer.step(*args, **kwargs)
        self._mark(id(optimizer), OptState.STEPPED)
        return result

    def update(self, new_scale: Any = None) -> None:
        """Adapts the scale after the optimizers' steps; or sets it."""
        if not self._enabled:
            return
        with no_grad():
            if new_scale is None:
                self._adapt()
            elif isinstance(new_scale, Tensor):
                self._scale.copy_(new_scale)  # type: ignore[attr-defined]
            else:
                self._scale.fill_(float(new_scale))  # type: ignore[attr-defined]
        self._forget()

    def _adapt(self) -> None:
        """Less after an overflow, more after a row of good steps, as long as that is finite."""
        self._rely("_overflows", "_growth_factor", "_backoff_factor", "_growth_interval")
        self._rely_on_states()
        overflows = [self._overflows[key] for key in self._states]
        if not overflows:
            raise AssertionError("No inf checks were recorded prior to update.")
        found = overflows[0]
        for other in overflows[1:]:
            found = logical_or(found, other)
        row: Any = self._growth_tracker + 1  # type: ignore[operator]
        full = row == self._growth_interval
        grown: Any = self._scale * self._growth_factor  # type: ignore[operator]
        good = where(full & grown.isfinite(), grown, self._scale)
        self._scale.copy_(where(found, self._scale * self._backoff_factor, good))  # type: ignore[attr-defined, operator]
        self._growth_tracker.copy_(where(found | full, 0, row))  # type: ignore[attr-defined]

    # ---------------------------------------------------------------- what Python keeps, and a recording must know
    def _rely(self, *names: str) -> None:
        if watch.recorder is not None:
            watch.recorder.relies(self.__dict__, *names)

    def _rely_on_states(self) -> None:
        if watch.recorder is not None:
            watch.recorder.relies(self._states, *self._overflows)

    def _state_of(self, optimizer: Any) -> OptState:
        self._rely_on_states()
        return self._states.get(id(optimizer), OptState.READY)

    @repeated
    def _mark(self, key: int, state: OptState) -> None:
        self._states[key] = state

    @repeated
    def _forget(self) -> None:
        self._states.clear()

    # ---------------------------------------------------------------- what it is
    def get_scale(self) -> float:
        """The scale; 1.0 if the scaler is off."""
        return self._scale.item() if self._enabled else 1.0  # type: ignore[attr-defined]

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after a row of good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets what the scale is multiplied by after a row of good steps."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets what the scale is multiplied by after an overflow."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps make a row."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets how many good steps make a row."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes; empty if the scaler is off."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker.item()}  # type: ignore[attr-defined] # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what state_dict gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale.fill_(state_dict["scale"])  # type: ignore[attr-defined]
        self._growth_tracker.fill_(state_dict["_growth_tracker"])  # type: ignore[attr-defined]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
