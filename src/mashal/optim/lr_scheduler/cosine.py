"""Schedules along half a cosine: once, or again and again."""

from __future__ import annotations

import math
from typing import Any

from mashal.errors import message
from mashal.machine.observing import repeated
from mashal.optim.lr_scheduler.base import LRScheduler, flag, of_groups, within_step
from mashal.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """From lr to eta_min along half a cosine in T_max epochs (and back in the next T_max).

    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=1.0)
    >>> scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> for epoch in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     print(round(scheduler.get_last_lr()[0], 4))
    0.5
    0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    @within_step
    def get_lr(self) -> list[Any]:
        """The present learning rates, gone on by one epoch."""
        groups, least, period, epoch = self.optimizer.param_groups, self.eta_min, self.T_max, self.last_epoch
        if self._is_initial:
            return of_groups(self.optimizer, "lr")
        if self._step_count == 1 and epoch > 0:
            return [least + (lr - least) * (1 + math.cos(epoch * math.pi / period)) / 2 for lr in self.base_lrs]
        if (epoch - 1 - period) % (2 * period) == 0:  # it was at the bottom, where the quotient below is 0 / 0
            rise = 1 - math.cos(math.pi / period)
            return [group["lr"] + (lr - least) * rise / 2 for lr, group in zip(self.base_lrs, groups)]
        quotient = (1 + math.cos(math.pi * epoch / period)) / (1 + math.cos(math.pi * (epoch - 1) / period))
        return [quotient * (group["lr"] - least) + least for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        height = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (lr - self.eta_min) * height / 2 for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """From lr to eta_min along half a cosine, again and again; each time takes T_mult times as long, first T_0 epochs.

    step(epoch) may be given a fraction of an epoch. Raises ValueError for values that make no such schedule.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(message(name, f"T_0 is {T_0!r}", "it must be a positive integer"))
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(message(name, f"T_mult is {T_mult!r}", "it must be a positive integer"))
        if not isinstance(eta_min, (float, int)):
            raise ValueError(message(name, f"eta_min is a {type(eta_min).__name__}", "it must be a number"))
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    @within_step
    def get_lr(self) -> list[Any]:
        """The learning rates at this place of the period."""
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (lr - self.eta_min) * height / 2 for lr in self.base_lrs]

    @repeated
    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Goes on to the next epoch, or to a given one (a fraction will do)."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self._advance()
        elif epoch < 0:
            raise ValueError(message("CosineAnnealingWarmRestarts.step", f"epoch is {epoch}", "it cannot be negative"))
        else:
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        with flag(self, "_get_lr_called_within_step"):
            self._set(self.get_lr())

    def _advance(self) -> None:
        self.T_cur = self.T_cur + 1
        if self.T_cur >= self.T_i:
            self.T_cur = self.T_cur % self.T_i
            self.T_i = self.T_i * self.T_mult

    def _place(self, epoch: float) -> None:
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
