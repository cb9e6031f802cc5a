"""nll_loss, and what losses of classes have in common.

x is (classes,), (batch, classes) or (batch, classes, *); the classes are integers of that shape without the second
dimension. A class outside [0, classes), unless it is ignore_index, is an IndexError that says where it is.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import int64, uint8
from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor, plan_of
from mashal.errors import message
from mashal.lower.picked import picked_gradient, picked_loss
from mashal.machine.launch import INTEGER
from mashal.ops.define import recorded, spelled
from mashal.ops.losses import check_reduction
from mashal.ops.run import kernel_of, remember, scalar_name

_plans: dict[Any, Any] = {}


# ---------------------------------------------------------------- what is checked
def check_classes(name: str, x: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """Shapes and dtypes of input, classes and weight."""
    shape: tuple[int, ...] = tuple(x.form.shape)
    classes: tuple[int, ...] = tuple(target.form.shape)
    if len(shape) == 0:
        raise RuntimeError(message(name, "input should have at least 1 dimension", "it is a 0-d tensor"))
    if x.form.dtype.kind != "f":
        raise NotImplementedError(message(name, f"not implemented for input of {x.form.dtype}", "it must be floating"))
    expected: tuple[int, ...] = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if classes != expected and classes[:1] != expected[:1]:
        raise ValueError(
            f"Expected input batch_size ({shape[0]}) to match target batch_size ({classes[0] if classes else 1}): "
            f"{name} got input {shape} and target {classes}"
        )
    if target.form.dtype not in (int64, uint8):
        raise RuntimeError(
            message(
                name, f"expected target of dtype torch.int64 (Long) or torch.uint8 (Byte), but got {target.form.dtype}"
            )
        )
    if classes != expected:
        raise RuntimeError(
            message(name, f"target {classes} does not fit input {shape}", f"expected target of shape {expected}")
        )
    n = shape[1] if len(shape) > 1 else shape[0]
    if weight is not None and tuple(weight.form.shape) != (n,):
        raise RuntimeError(
            message(
                name,
                f"weight tensor should be defined either for all {n} classes or no classes",
                f"it is {tuple(weight.form.shape)}",
            )
        )


def wrong_class(name: str, n: int) -> Any:
    """What a kernel calls when it met a class that there is not."""

    def fail(position: int, *operands: Any) -> None:
        target = next(x for x in operands if isinstance(x, Tensor) and x.form.dtype in (int64, uint8))
        where, left = [], position
        for size in reversed(target.form.shape):
            where.append(left % size)
            left //= size
        place = tuple(reversed(where))
        value = target
        for i in place:
            value = value[i]  # type: ignore[index]
        raise IndexError(f"{name}: Target {int(value)} is out of bounds: at {place} of {n} classes")  # type: ignore[call-overload]

    return fail


# ---------------------------------------------------------------- nll_loss
def _seen(of: Form, with_classes: bool) -> tuple[list[int], list[int]]:
    """A shape as (n, classes, d) (of the classes: (n, d)), and its strides; further dimensions must be walkable as one."""
    shape, strides = list(of.shape), list(of.strides)
    if with_classes:
        if len(shape) == 1:
            return [1, shape[0], 1], [0, strides[0], 0]
        lead, rest = [shape[0], shape[1]], shape[2:]
    else:
        if not shape:
            return [1, 1], [0, 0]
        lead, rest = [shape[0]], shape[1:]
    d = 1
    for n in rest:
        d *= n
    return [*lead, d], [
        *strides[: len(lead)],
        next((s for n, s in zip(reversed(rest), reversed(strides)) if n != 1), 0),
    ]


def _walkable(of: Form, lead: int) -> bool:
    """Whether the dimensions after the first `lead` ones lie one behind the other."""
    step = None
    for n, s in zip(reversed(of.shape[lead:]), reversed(of.strides[lead:])):
        if n == 1:
            continue
        if step is not None and s != step:
            return False
        step = n * s
    return True


def _compact(x: Tensor, lead: int) -> Tensor:
    return x if _walkable(x.form, lead) else x.contiguous()  # type: ignore[attr-defined]


@recorded("NllLossBackward0")
def _nll(x: Tensor, target: Tensor, weight: Tensor | None, ignored: int, reduction: str) -> tuple[Tensor, tuple]:
    x, target = _compact(x, 2), _compact(target, 1)
    key = x.form, target.form, None if weight is None else weight.form, reduction
    plan = _plans.get(key) or remember(_plans, key, _loss_plan(x.form, target.form, weight, reduction))
    loss, total = plan(x, target, ignored) if weight is None else plan(x, target, weight, ignored)
    return loss, (target, weight, total, ignored, reduction, x.form)


def _loss_plan(x: Form, target: Form, weight: Tensor | None, reduction: str) -> Any:
    address = kernel_of(picked_loss, x.dtype, target.dtype, weight is not None, reduction)
    loss = form(x.dtype, x.device, target.shape if reduction == "none" else ())
    total = form(x.dtype, x.device, ())
    sizes, kinds = _sizes(x, target, weight), [x.dtype.itemsize, target.dtype.itemsize]
    kinds += [] if weight is None else [weight.form.dtype.itemsize]
    made = [(loss.nbytes, loss), (total.nbytes, total)]
    return plan_of(address, made, [*kinds, INTEGER], sizes, work=target.numel, fail=wrong_class("nll_loss", sizes[2]))


def _sizes(x: Form, target: Form, weight: Tensor | None) -> list[int]:
    (n, classes, d), strides = _seen(x, True)
    _, labels = _seen(target, False)
    return [n, d, classes, *strides, *labels, weight.form.strides[0] if weight is not None else 0]


@_nll.backward
def _(node: Any, g: Tensor) -> tuple:
    target, weight, total, ignored, reduction, of = node.kept()
    return (nll_gradient(g, target, weight, total, ignored, reduction, of),)


@recorded("NllLossBackwardBackward0")
def nll_gradient(
    g: Tensor, target: Tensor, weight: Tensor | None, total: Tensor, ignored: int, reduction: str, of: Form
) -> tuple[Tensor, tuple]:
    """nll_loss's gradient: minus the weight at each row's class, 0 elsewhere."""
    g = g if reduction != "none" or g.form.contiguous else g.contiguous()  # type: ignore[attr-defined]
    key = g.form, target.form, None if weight is None else weight.form, reduction, of, "backward"
    plan = _plans.get(key)
    if plan is None:
        made = form(of.dtype, of.device, of.shape)
        address = kernel_of(picked_gradient, of.dtype, target.form.dtype, weight is not None, reduction)
        kinds = [x.form.dtype.itemsize for x in (g, target, weight, total) if x is not None]
        plan = plan_of(
            address, [(made.nbytes, made)], [*kinds, INTEGER], _sizes(made, target.form, weight), work=made.numel
        )
        remember(_plans, key, plan)
    operands = [x for x in (g, target, weight, total) if x is not None]
    return plan(*operands, ignored), (target, weight, total, ignored, reduction)


@nll_gradient.backward
def _(node: Any, h: Tensor) -> tuple:
    target, weight, _, ignored, reduction = node.kept()
    return (_nll(h, target, weight, ignored, reduction),)


@spelled(where=("torch",))
def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """-input at each row's class, for input that holds logarithms of probabilities; the mean is weighted.

    >>> torch.nn.functional.nll_loss(torch.tensor([[-1.0, -2.0]]), torch.tensor([1]))
    tensor(2.)
    """
    check_reduction("nll_loss", reduction)
    check_classes("nll_loss", input, target, weight)
    if weight is not None and weight.form.dtype is not input.form.dtype:
        wrong = (
            f"weight: expected scalar type {scalar_name(input.form.dtype)} but found {scalar_name(weight.form.dtype)}"
        )
        raise RuntimeError(message("nll_loss", wrong))
    return _nll(input, target, weight, ignore_index, reduction)
