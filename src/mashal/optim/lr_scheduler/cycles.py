"""Schedules that rise and fall: one cycle of warming up and annealing, or cycle after cycle; momentum goes the other way."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any, Literal

from mashal.errors import message
from mashal.optim.lr_scheduler.base import LRScheduler, checked_optimizer, one_each, within_step, write
from mashal.optim.optimizer import Optimizer


class _WithMomentum(LRScheduler):
    """A schedule that may also set the momentum (of Adam and its kind: beta1)."""

    def _begin_momentum(self, lowest: Any, highest: Any, last_epoch: int) -> tuple[list[Any], list[Any]]:
        """Momenta of each group, written there if the schedule starts anew."""
        optimizer, name = self.optimizer, type(self).__name__
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            wrong = f"cycle_momentum=True, and {type(optimizer).__name__} has neither momentum nor betas"
            raise ValueError(message(name, wrong, "pass cycle_momentum=False"))
        self.use_beta1 = "betas" in optimizer.defaults
        highs = one_each("max_momentum", optimizer, highest)
        lows = one_each("base_momentum", optimizer, lowest)
        if last_epoch == -1:
            for high, low, group in zip(highs, lows, optimizer.param_groups):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return lows, highs

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class OneCycleLR(_WithMomentum):
    """One cycle: from max_lr / div_factor up to max_lr, and down to a final_div_factor-th of where it began.

    total_steps, or epochs and steps_per_epoch: how many steps the cycle has; one more is an error. pct_start: the share of
    them that goes up. anneal_strategy: "cos" or "linear". three_phase: down as slowly as up, then the rest of the way.
    cycle_momentum: momentum (or beta1) goes from max_momentum to base_momentum and back.
    Raises ValueError for values that make no such schedule.

    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=1.0, momentum=0.9)
    >>> scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=4, pct_start=0.5)
    >>> for step in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 4))
    ...     optimizer.step()
    ...     scheduler.step()
    0.04
    1.0
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(self, optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(message("OneCycleLR", f"pct_start is {pct_start!r}", "it must be a float from 0 to 1"))
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                message("OneCycleLR", f"anneal_strategy is {anneal_strategy!r}", "it must be 'cos' or 'linear'")
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(pct_start, self.total_steps, three_phase)
        most = one_each("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, most):
                group["initial_lr"] = lr / div_factor
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    @within_step
    def get_lr(self) -> list[Any]:
        """The learning rates at this step; momenta are set here too."""
        step = self.last_epoch
        if step > self.total_steps:
            wrong = f"step {step} of a schedule of {self.total_steps} steps"
            raise ValueError(message("OneCycleLR", wrong, "give it as many total_steps as there will be"))
        phase, share = self._phase(step)
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
            self._set_momentum(group, self._anneal(*ends, share))
        groups = self.optimizer.param_groups
        return [self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share) for group in groups]

    def _phase(self, step: int) -> tuple[dict[str, Any], float]:
        """The phase that a step is in, and how much of it has passed."""
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if step <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        return phase, (step - start) / (phase["end_step"] - start)


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = (
        {"total_steps": total_steps}
        if total_steps is not None
        else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    )
    if None in given.values():
        raise ValueError(
            message(
                "OneCycleLR", "how many steps there are is not given", "give total_steps, or epochs and steps_per_epoch"
            )
        )
    total = 1
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(message("OneCycleLR", f"{name} is {value!r}", "it must be a positive integer"))
        total *= value
    return total


def _phases(share: float, total: int, three: bool) -> list[dict[str, Any]]:
    """When each phase ends, and between which of a group's options it goes."""

    def phase(end: float, lrs: tuple[str, str], momenta: tuple[str, str]) -> dict[str, Any]:
        names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
        return dict(zip(names, (end, *lrs, *momenta)))

    up = phase(float(share * total) - 1, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))
    if not three:
        return [up, phase(total - 1, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))]
    down = phase(float(2 * share * total) - 2, ("max_lr", "initial_lr"), ("base_momentum", "max_momentum"))
    return [up, down, phase(total - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum"))]


class CyclicLR(_WithMomentum):
    """From base_lr to max_lr in step_size_up steps, back in step_size_down, and so on.

    mode: "triangular" (every cycle as high), "triangular2" (half as high each time) or "exp_range" (gamma ** step);
    or scale_fn, a function of the "cycle" or of the "iterations" (scale_mode) that says how high.
    cycle_momentum: momentum (or beta1) goes from max_momentum to base_momentum and back.
    Raises ValueError for values that make no such schedule.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(self, optimizer)
        lows = one_each("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(lows, optimizer.param_groups):
                write(group, "lr", lr)
        self.max_lrs = one_each("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (float(step_size_down) if step_size_down is not None else up)
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            wrong = f"mode is {mode!r} and there is no scale_fn"
            raise ValueError(message("CyclicLR", wrong, "mode must be 'triangular', 'triangular2' or 'exp_range'"))
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._begin_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale_fn(self, x: float) -> float:
        """How high the cycle (or the iteration) x is, as a part of the first one's height."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return {
            "triangular": lambda: 1.0,
            "triangular2": lambda: 1 / (2.0 ** (x - 1)),
            "exp_range": lambda: self.gamma**x,
        }[self.mode]()

    @within_step
    def get_lr(self) -> list[Any]:
        """The learning rates at this step; momenta are set here too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for low, high, group in zip(self.base_momentums, self.max_momentums, self.optimizer.param_groups):
                self._set_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and a plain scale_fn, as a dictionary."""
        function = self._scale_fn_custom
        kept = None if function is None or isinstance(function, types.FunctionType) else function.__dict__.copy()
        return super().state_dict() | {"_scale_fn_custom": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what state_dict gave; a plain scale_fn stays what it is."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None:
            self._scale_fn_custom.__dict__.update(state_dict["_scale_fn_custom"])  # type: ignore[union-attr]
