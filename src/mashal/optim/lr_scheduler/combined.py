"""Schedules made of schedules: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from mashal.errors import message
from mashal.machine.observing import repeated
from mashal.optim.lr_scheduler.base import LRScheduler, of_groups, write
from mashal.optim.lr_scheduler.plateau import ReduceLROnPlateau
from mashal.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """A schedule made of schedules for one optimizer."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[Any], optimizer: Any) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(
                    message(
                        name,
                        f"schedulers[{i}] is a {type(scheduler).__name__}",
                        "it must be a scheduler with an optimizer",
                    )
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                wrong = f"schedulers[{i}] is a ReduceLROnPlateau, whose step needs a measure"
                raise ValueError(message(name, wrong, "call its step separately"))
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    message(name, f"schedulers[{i}] belongs to another optimizer", "all must have the same one")
                )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, as a dictionary; of each schedule its state_dict."""
        return super().state_dict() | {"_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what state_dict gave."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """One schedule after another; schedulers[i + 1] takes over at the epoch milestones[i], at its own beginning.

    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=1.0)
    >>> warmup = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.1, total_iters=2)
    >>> decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> for epoch in range(4):
    ...     print(scheduler.get_last_lr())
    ...     optimizer.step()
    ...     scheduler.step()
    [0.1]
    [0.1]
    [1.0]
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError(message("SequentialLR", "the list of schedulers is empty", "give at least one"))
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            wrong = f"{len(milestones)} milestones for {len(schedulers)} schedulers"
            raise ValueError(message("SequentialLR", wrong, "there must be one between each two"))
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:  # as if the schedulers had not yet begun
            write(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: Any = None) -> None:
        """Takes back the step that every schedule makes when it is made."""
        schedule = self if sched is None else sched
        if hasattr(schedule, "_schedulers"):
            for part in schedule._schedulers:
                self.recursive_undo(part)
        elif hasattr(schedule, "last_epoch"):
            schedule.last_epoch -= 1

    @repeated
    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch with the schedule whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Combined):
    """Several schedules at once: each goes on from what the one before it has set."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError(message("ChainedScheduler", "the list of schedulers is empty", "give at least one"))
        optimizer = optimizer or schedulers[0].optimizer
        self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = of_groups(optimizer, "lr")

    @repeated
    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch with every schedule."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = of_groups(self.optimizer, "lr")
