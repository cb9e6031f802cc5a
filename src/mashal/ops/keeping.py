"""What Python would have to look at, so that compile has not to: a generator's place, and truths that hardly change."""

from __future__ import annotations

from functools import cache

from mashal.core.devices import CPU
from mashal.core.dtypes import uint8
from mashal.core.forms import form
from mashal.core.generator import PLACE, Generator
from mashal.core.tensor import Tensor, plan_of
from mashal.lower import keeping
from mashal.machine.launch import INTEGER
from mashal.machine.observing import watch
from mashal.ops.run import kernel_of


def place_of(generator: Generator) -> Tensor:
    """Where a generator stands, for `take_up`.

    >>> from mashal.core.generator import default_generator
    >>> place = place_of(default_generator)
    >>> first = torch.rand(1)
    >>> take_up(default_generator, place)
    >>> bool(torch.rand(1) == first)
    True
    """
    return _keeping()[0](generator.address)


def take_up(generator: Generator, place: Tensor) -> None:
    """Goes back to where the generator stood."""
    _keeping()[1](place, generator.address)


@cache
def _keeping():
    whole = form(uint8, CPU, (PLACE,))
    keep = plan_of(kernel_of(keeping.kept), [(PLACE, whole)], [INTEGER])
    return keep, plan_of(kernel_of(keeping.taken_up), [], [1, INTEGER])


def granted(truth: Tensor) -> bool:
    """bool(truth), which a recording takes for granted: where it is otherwise, a replay is taken back and the call recorded anew.

    >>> granted(torch.tensor([1.0, 2.0]).isfinite().all())
    True
    """
    return bool(truth) if watch.recorder is None else watch.recorder.grant(truth)
