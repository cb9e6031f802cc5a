"""A schedule by success: the learning rate falls when a measure no longer gets better."""

from __future__ import annotations

import math
from typing import Any, Literal, SupportsFloat

from mashal.errors import message
from mashal.machine.observing import repeated
from mashal.optim.lr_scheduler.base import LRScheduler, checked_optimizer, of_groups, warn_of_epoch, write
from mashal.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """lr · factor when the measure given to step() has not improved for more than `patience` epochs.

    mode: "min" or "max" is better. threshold: how much better counts, of the best value ("rel") or as it is ("abs").
    cooldown: epochs to wait after a reduction. min_lr: a lower bound, one for all groups or one for each. eps: smaller
    changes are not made. Raises ValueError for a factor of 1 or more and for unknown modes.

    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=1.0)
    >>> scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        if factor >= 1.0:
            raise ValueError(message(name, f"factor is {factor}", "it must be below 1"))
        self.factor = factor
        self.optimizer = checked_optimizer(self, optimizer)
        several = isinstance(min_lr, (list, tuple))
        n = len(optimizer.param_groups)
        if several and len(min_lr) != n:
            raise ValueError(
                message(name, f"min_lr has {len(min_lr)} values", f"the optimizer has {n} parameter groups")
            )
        self.default_min_lr = None if several else min_lr
        self.min_lrs = list(min_lr) if several else [min_lr] * n
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = of_groups(optimizer, "lr")
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self._check_modes()
        self._reset()

    def _check_modes(self) -> None:
        for name, value, known in (
            ("mode", self.mode, ("min", "max")),
            ("threshold_mode", self.threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise ValueError(
                    message("ReduceLROnPlateau", f"{name} is {value!r}", f"it must be {known[0]!r} or {known[1]!r}")
                )
        self.mode_worse = math.inf if self.mode == "min" else -math.inf

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @repeated
    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Notes this epoch's measure, a number or a 1-element tensor, and reduces the learning rate if it is time."""
        current = float(metrics)
        if epoch is not None:
            warn_of_epoch()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0  # a bad epoch does not count while it cools down
        if self.num_bad_epochs > self.patience:
            self._reduce_lr(self.last_epoch)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = of_groups(self.optimizer, "lr")

    def _reduce_lr(self, epoch: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                wrong = (
                    f"the optimizer now has {len(groups)} parameter groups, min_lr was given for {len(self.min_lrs)}"
                )
                raise RuntimeError(
                    message("ReduceLROnPlateau", wrong, "add to the scheduler's min_lrs what is missing")
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                write(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Whether it waits after a reduction."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        if self.mode == "min":
            return a < (best * (1.0 - self.threshold) if self.threshold_mode == "rel" else best - self.threshold)
        return a > (best * (self.threshold + 1.0) if self.threshold_mode == "rel" else best + self.threshold)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what state_dict gave."""
        super().load_state_dict(state_dict)
        self._check_modes()
