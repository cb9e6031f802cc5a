"""Choices and loops as functions, and arithmetic of numbers that may be symbols in PyTorch: here they are numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from mashal import accelerator, cpu, cuda, mps, mtia, xpu
from mashal.core.devices import device as device_of
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["cond", "get_device_module", "sym_float", "sym_fresh_size", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt",
           "sym_sum", "while_loop"]  # fmt: skip


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    """true_fn(*operands) if pred, else false_fn(*operands). pred: a bool, a number, or a tensor of one element.

    >>> torch.cond(torch.tensor(True), lambda x: x + 1, lambda x: x - 1, (torch.tensor(1),))
    tensor(2)
    """
    if isinstance(pred, Tensor) and pred.numel() != 1:
        raise RuntimeError(
            message("cond", f"pred must be a bool or a tensor of one element, it is of shape {tuple(pred.shape)}")
        )
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(message("cond", f"operands must be a tuple or a list, not {type(operands).__name__}"))
    return (true_fn if bool(pred) else false_fn)(*operands)


def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any) -> tuple:
    """carried_inputs = body_fn(*carried_inputs) as long as cond_fn(*carried_inputs); what was carried last.

    >>> torch.while_loop(lambda i: i < 3, lambda i: (i + 1,), (torch.tensor(0),))
    (tensor(3),)
    """
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(
            message("while_loop", f"carried_inputs must be a tuple or a list, not {type(carried_inputs).__name__}")
        )
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried)):
        made = body_fn(*carried)
        made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
        if len(made) != len(carried):
            raise RuntimeError(message("while_loop", f"body_fn gave {len(made)} results for {len(carried)} inputs"))
        carried = made
    return carried


# ---------------------------------------------------------------- numbers that may be symbols elsewhere
def sym_int(a: Any) -> int:
    """A number without what is behind the point.

    >>> torch.sym_int(-3.5)
    -3
    """
    return math.trunc(a)


def sym_float(a: Any) -> float:
    """A number as a float."""
    return float(a)


def sym_max(a: Any, b: Any) -> Any:
    """The larger number; a float if one of them is.

    >>> torch.sym_max(3, 2.0)
    3.0
    """
    return _like_either(max(a, b), a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller number; a float if one of them is."""
    return _like_either(min(a, b), a, b)


def _like_either(x: Any, a: Any, b: Any) -> Any:
    return float(x) if isinstance(a, float) or isinstance(b, float) else x


def sym_not(a: Any) -> bool:
    """The opposite."""
    return not a


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """t if b, else f."""
    if not isinstance(b, bool):
        raise AssertionError(message("sym_ite", f"a bool is expected, not {type(b).__name__}"))
    return t if b else f


def sym_sum(args: Sequence[Any]) -> Any:
    """The sum of numbers."""
    return sum(args)


def sym_sqrt(a: Any) -> float:
    """The root of a number."""
    return math.sqrt(a)


def sym_fresh_size(expr: Any) -> Any:
    """The size itself: nothing is a symbol here."""
    return expr


# ---------------------------------------------------------------- modules of devices
_MODULES = {"cpu": cpu, "cuda": cuda, "mps": mps, "xpu": xpu, "mtia": mtia}


def get_device_module(device: Any = None) -> Any:
    """The module of a device's type: torch.cpu, torch.cuda …; of the accelerator, or else of the cpu, for None.

    >>> torch.get_device_module("cuda") is torch.cuda
    True
    """
    if device is None:
        found = accelerator.current_accelerator()
        return _MODULES[found.type if found is not None else "cpu"]
    kind = device_of(device).type
    if kind not in _MODULES:
        raise RuntimeError(
            message("get_device_module", f"there is no module torch.{kind}", f"there are {', '.join(_MODULES)}")
        )
    return _MODULES[kind]
