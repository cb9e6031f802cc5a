"""torch.optim.swa_utils: averages of a model's parameters over the course of training.

`AveragedModel` is a copy of the model whose parameters are the averages: all steps alike (stochastic weight averaging), or
the last ones more (exponential moving average). `SWALR` is the schedule that goes with the former, `update_bn` computes the
statistics of batch norms anew, which no average gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any, Literal

from mashal.core.dtypes import int64
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.nn.batchnorm import _BatchNorm
from mashal.nn.module import Module
from mashal.ops import tensor
from mashal.ops.keeping import granted
from mashal.optim.lr_scheduler.base import LRScheduler, one_each, within_step
from mashal.optim.optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Any], Tensor]


# ---------------------------------------------------------------- averages
def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """decay·average + (1 - decay)·current, as a function of (average, current, number averaged). decay: in [0, 1]."""
    _check_decay("get_ema_avg_fn", decay)

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    """The mean of all, as a function of (average, current, number averaged)."""

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """The exponential average of a list of tensors, in place."""
    _check_decay("get_ema_multi_avg_fn", decay)
    return _in_place(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[..., None]:
    """The mean of all of a list of tensors, in place."""
    return _in_place(get_swa_avg_fn())


def _in_place(average: Average) -> Callable[..., None]:
    @no_grad()
    def update(averaged_param_list: list[Tensor], current_param_list: list[Tensor], num_averaged: Any) -> None:
        for mean, current in zip(averaged_param_list, current_param_list):
            mean.copy_(average(mean, current, num_averaged))

    return update


def _check_decay(name: str, decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(message(name, f"decay is {decay}", "it must be from 0 to 1"))


class AveragedModel(Module):
    """A copy of a model whose parameters are averages over the calls of update_parameters.

    avg_fn: (average, current, number averaged) -> average, or multi_avg_fn, the same for lists and in place; the mean of all
    if neither is given. device: where the averages are kept. use_buffers: averages the buffers too; otherwise they are copied.

    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> averaged = AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     _ = torch.nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item()
    2.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError(message("AveragedModel", "both avg_fn and multi_avg_fn are given", "give one of them"))
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model gives."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the model's present parameters into the averages; the first time they are copied."""
        means = [p.detach() for p in self._averaged(self.module)]
        current = [p.detach().to(mean.device) for p, mean in zip(self._averaged(model), means)]
        if granted(self.n_averaged.eq(0)):
            for mean, p in zip(means, current):
                mean.copy_(p)
        else:
            (self.multi_avg_fn or _in_place(self.avg_fn or get_swa_avg_fn()))(means, current, self.n_averaged)
        if not self.use_buffers:
            for own, other in zip(self.module.buffers(), model.buffers()):
                own.detach().copy_(other.detach().to(own.device))
        self.n_averaged += 1

    def _averaged(self, model: Module) -> Iterable[Tensor]:
        return chain(model.parameters(), model.buffers()) if self.use_buffers else model.parameters()


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of a model's batch norms anew, in one pass over batches (or lists that begin with one)."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    if not norms:
        return
    was_training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for batch in loader:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(batch if device is None else batch.to(device))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.train(was_training)


# ---------------------------------------------------------------- the schedule
class SWALR(LRScheduler):
    """From the present learning rate to swa_lr (one, or one for each group) in anneal_epochs, then constant.

    anneal_strategy: "cos" or "linear". Raises ValueError for others, and for a negative number of epochs.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        for lr, group in zip(one_each("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                message("SWALR", f"anneal_strategy is {anneal_strategy!r}", "it must be 'cos' or 'linear'")
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(
                message("SWALR", f"anneal_epochs is {anneal_epochs!r}", "it must be an integer, 0 or more")
            )
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way to swa_lr has been gone after so many steps."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    @within_step
    def get_lr(self) -> list[Any]:
        """The present learning rates, gone on by one epoch."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, share = self._share(step - 1), self._share(step)
        lrs = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            lrs.append(goal * share + start * (1 - share))
        return lrs
