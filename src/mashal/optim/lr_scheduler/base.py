"""LRScheduler: what all schedules share.

A scheduler counts epochs (or batches: how often its `step` is called) and writes the learning rate of each of the optimizer's
groups. Schedules are written as a step from the last learning rate to the next (`get_lr`), so that several can
work on the same optimizer, many also in closed form (`_get_closed_form_lr`). All numbers are Python floats,
computed in PyTorch's order, so the learning rates are PyTorch's to the last bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.machine.observing import repeated
from mashal.optim.optimizer import Optimizer


class LRScheduler:
    """The base of all schedules. A subclass defines `get_lr`, which gives the next learning rate of each group.

    last_epoch: -1 to start; otherwise the schedule goes on from there, and each group has its "initial_lr".
    Raises TypeError for what is no optimizer, KeyError for a group without "initial_lr" where it is needed.

    >>> class Halving(torch.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr * 0.5**self.last_epoch for lr in self.base_lrs]
    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=0.8)
    >>> scheduler = Halving(optimizer)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.4]
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copy(group["lr"]))
            elif "initial_lr" not in group:
                wrong = f"last_epoch is {last_epoch} and group {i} of the optimizer has no 'initial_lr'"
                right = "to go on, load the optimizer's state_dict first; to start, leave last_epoch at -1"
                raise KeyError(message(type(self).__name__, wrong, right))
        self.base_lrs = of_groups(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not optimizer.__dict__.get("_steps_watched"):
            optimizer._steps_watched, optimizer._opt_called = True, False  # type: ignore[attr-defined]
        self._initial_step()

    def _initial_step(self) -> None:
        """The step to epoch 0."""
        self._step_count = 0
        with flag(self, "_is_initial"):
            self.step()

    def get_last_lr(self) -> list[Any]:
        """The learning rates that the last step has set, one a group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The learning rates for the epoch `last_epoch`, one a group."""
        raise NotImplementedError(
            message(type(self).__name__, "it does not say what the next learning rate is", "define get_lr")
        )

    @repeated
    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch and sets the learning rates; to be called after optimizer.step()."""
        if self._step_count == 1:
            self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warn_of_epoch()
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with flag(self, "_get_lr_called_within_step"):
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            values = self.get_lr() if closed is None else closed()
        self._set(values)

    def _set(self, values: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, values):
            write(group, "lr", lr)
        self._last_lr = of_groups(self.optimizer, "lr")

    def _warn_of_order(self) -> None:
        if not getattr(self.optimizer.step, "hooked", False):
            wrong = "optimizer.step has been replaced since the scheduler was made"
            right = "so whether it is called before scheduler.step() cannot be seen; make the scheduler afterwards"
        elif not self.optimizer.__dict__.get("_opt_called"):
            wrong = "lr_scheduler.step() was called before optimizer.step()"
            right = "call optimizer.step() first, or the first learning rate of the schedule is never used"
        else:
            return
        warnings.warn(message("lr_scheduler", wrong, right), UserWarning, stacklevel=3)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, as a dictionary."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what state_dict gave."""
        self.__dict__.update(state_dict)


_LRScheduler = LRScheduler  # the name it had before


# ---------------------------------------------------------------- what schedules are written with
def of_groups(optimizer: Optimizer, key: str) -> list[Any]:
    """An option of each group; tensors are copied."""
    return [_copy(group[key]) for group in optimizer.param_groups]


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def write(group: dict[str, Any], key: str, value: Any) -> None:
    """Sets an option of a group; one that is a tensor stays that tensor and is filled."""
    if isinstance(group[key], Tensor):
        with no_grad():
            group[key].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[key] = value


def one_each(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A value for each group, from a list of them or from one for all."""
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [_copy(value) for _ in range(n)]
    if len(value) != n:
        raise ValueError(
            message("lr_scheduler", f"{name} has {len(value)} values", f"the optimizer has {n} parameter groups")
        )
    return [_copy(one) for one in value]


def checked_optimizer(scheduler: Any, optimizer: Any) -> Optimizer:
    """The optimizer, or TypeError for what is none."""
    if not isinstance(optimizer, Optimizer):
        wrong = f"its first argument is a {type(optimizer).__name__}"
        raise TypeError(message(type(scheduler).__name__, wrong, "it must be an Optimizer"))
    return optimizer


@contextmanager
def flag(scheduler: Any, name: str) -> Iterator[None]:
    """An attribute that is True inside."""
    setattr(scheduler, name, True)
    try:
        yield
    finally:
        setattr(scheduler, name, False)


def within_step(get_lr: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    """A get_lr that warns when it is called by hand: it computes the step to the next learning rate, not the present one."""

    @wraps(get_lr)
    def warned(self: Any) -> list[Any]:
        if not self._get_lr_called_within_step:
            right = "for the present learning rate call get_last_lr()"
            warnings.warn(message("get_lr", "it was called outside of step()", right), UserWarning, stacklevel=2)
        return get_lr(self)

    return warned


def warn_of_epoch() -> None:
    warnings.warn(
        message("lr_scheduler.step", "an epoch was given, which is deprecated", "call step() without it"),
        UserWarning,
        stacklevel=3,
    )
