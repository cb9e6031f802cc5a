"""New tensors of random numbers: `rand`, `randn`, `randint`, `randperm`, `normal`, and their `*_like` forms."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from mashal.core import tape
from mashal.core.devices import CPU, default_device, usable
from mashal.core.devices import device as device_of
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import get_default_dtype, int64
from mashal.core.forms import Form, form, like
from mashal.core.generator import Generator, default_generator
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor, empty
from mashal.errors import message
from mashal.ops import filling
from mashal.ops.define import spelled
from mashal.ops.keeping import granted
from mashal.ops.random import check_range, checked, drawn, filled, normal_, random_, uniform_, whole_number


# ---------------------------------------------------------------- factories
@spelled(("torch",))
def rand(*size: Any, **options: Any) -> Tensor:
    """Uniform numbers from [0, 1). size: integers, or one sequence of them.

    Options of all factories here: generator, out, dtype, layout, device, requires_grad, pin_memory.

    >>> _ = torch.manual_seed(123)
    >>> torch.rand(3)
    tensor([0.2961, 0.5166, 0.2517])
    """
    return _made("rand", size, options, uniform_, filling.uniform)


@spelled(("torch",))
def randn(*size: Any, **options: Any) -> Tensor:
    """Standard normal numbers. size: integers, or one sequence of them.

    >>> _ = torch.manual_seed(123)
    >>> torch.randn(3)
    tensor([-0.1115,  0.1204, -0.3696])
    """
    return _made("randn", size, options, normal_, filling.normal)


@spelled(("torch",))
def randint(*bounds_and_size: Any, low: int = 0, high: int | None = None, size: Any = None, **options: Any) -> Tensor:
    """Whole numbers from low … high - 1: randint(high, size) or randint(low, high, size), int64 if no dtype is given.

    >>> _ = torch.manual_seed(123)
    >>> torch.randint(0, 10, (4,))
    tensor([2, 9, 2, 0])
    """
    given = list(bounds_and_size)
    if size is None:
        if not given or not isinstance(given[-1], (tuple, list)):
            raise TypeError(
                message("randint", "no size was given", "say randint(low, high, size), size a tuple of ints")
            )
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if given:
        low = given.pop()
    if given or high is None:
        raise TypeError(
            message("randint", "the bounds are not clear", "say randint(high, size) or randint(low, high, size)")
        )
    low, high = whole_number("randint", "low", low), whole_number("randint", "high", high)
    if options:
        options["dtype"] = options.get("dtype") or getattr(options.get("out"), "dtype", int64)
    check_range("randint", options["dtype"] if options else int64, low, high)
    return _made("randint", (size,), options, random_, filling.integers, low, high, usual=int64)


@spelled(("torch",))
def randperm(n: int, **options: Any) -> Tensor:
    """0 … n - 1 in random order; int64 if no dtype is given.

    >>> _ = torch.manual_seed(123)
    >>> torch.randperm(5).shape
    torch.Size([5])
    """
    if isinstance(n, (bool, float)):
        raise TypeError(f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    n = whole_number("randperm", "n", n)
    if not options:
        return _made("randperm", (n,), options, _permute, filling.permutation, usual=int64)
    wanted = options.pop("dtype", None) or getattr(options.get("out"), "dtype", int64)
    if wanted.is_complex or wanted.kind == "b":
        raise NotImplementedError(
            message("randperm", f"numbers 0 … n - 1 of dtype {wanted} are not defined", "use an integer one")
        )
    if n - 1 > filling.largest_whole(wanted.name):
        raise RuntimeError(
            message(
                "randperm", f"n = {n} is too large for {wanted}", f"it counts to {filling.largest_whole(wanted.name)}"
            )
        )
    if wanted is int64:
        return _made("randperm", (n,), {**options, "dtype": int64}, _permute, filling.permutation)
    drawn = randperm(n, generator=options.pop("generator", None))
    out = options.pop("out", None)
    if out is None:
        return _made("randperm", (n,), {**options, "dtype": wanted}, lambda x, generator: x.copy_(drawn))
    return result_of("randperm", (n,), wanted, out=out).copy_(drawn)


def _permute(x: Tensor, *, generator: Generator | None) -> Tensor:
    return filled(x, "Randperm", filling.permutation, generator)


@spelled(("torch",))
def normal(
    mean: float | Tensor = 0.0, std: float | Tensor = 1.0, size: Any = None, *, generator: Generator | None = None,
    out: Tensor | None = None, **options: Any,
) -> Tensor:  # fmt: skip
    """Normal numbers whose mean, or standard deviation, or both, are tensors; or of a given size.

    mean, std: numbers, or tensors that broadcast; size: for two numbers only.
    """
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError(
                message("normal", "mean and std are numbers, and no size was given", "say normal(mean, std, size)")
            )
        return _made("normal", (size,), {**options, "out": out, "generator": generator}, normal_, None, mean, std)
    if isinstance(std, Tensor):
        if std.dtype.is_complex or (std.numel() and not granted((std >= 0).all())):
            raise RuntimeError("normal expects all elements of std >= 0.0")
        shape = broadcast("normal", mean.shape, std.shape) if isinstance(mean, Tensor) else std.shape
        template, deviation = mean if isinstance(mean, Tensor) else std, 1.0
    else:
        shape, template, deviation = mean.shape, mean, std
    result = result_of("normal", shape, template.dtype, template.device, out)
    with tape.no_grad():
        normal_(result, 0.0, deviation, generator=generator)
        (result.mul_(std) if isinstance(std, Tensor) else result).add_(mean)
    if out is not None:
        return result
    which = 3 if isinstance(std, Tensor) and isinstance(mean, Tensor) else 2 if isinstance(std, Tensor) else 1
    return drawn(f"NormalBackward{which}", result, mean, std)


# ---------------------------------------------------------------- like a template
@spelled(("torch",))
def rand_like(input: Tensor, **options: Any) -> Tensor:
    """Uniform numbers from [0, 1) in the shape, dtype, device and strides of input."""
    return _made_like("rand_like", input, options, uniform_, filling.uniform)


@spelled(("torch",))
def randn_like(input: Tensor, **options: Any) -> Tensor:
    """Standard normal numbers in the shape, dtype, device and strides of input."""
    return _made_like("randn_like", input, options, normal_, filling.normal)


@spelled(("torch",))
def randint_like(input: Tensor, *bounds: int, low: int = 0, high: int | None = None, **options: Any) -> Tensor:
    """Whole numbers in the shape, dtype, device and strides of input: randint_like(x, high), randint_like(x, low, high)."""
    if len(bounds) > 2 or (not bounds and high is None):
        raise TypeError(message("randint_like", "the bounds are not clear", "say randint_like(input, low, high)"))
    below, above = (low, *bounds) if len(bounds) == 1 else (*bounds, low, high)[:2]
    return _made_like(
        "randint_like",
        input,
        options,
        random_,
        None,
        whole_number("randint_like", "low", below),
        whole_number("randint_like", "high", above),
    )


# ---------------------------------------------------------------- how a tensor is made
_OPTIONS = {"generator", "out", "dtype", "layout", "device", "requires_grad", "pin_memory", "size"}


def _made(
    name: str,
    size: tuple,
    options: dict,
    fill: Callable[..., Tensor],
    draw: filling.Draw | None = None,
    *numbers: Any,
    usual: DType | None = None,
) -> Tensor:
    """A tensor of a size, filled. usual: the dtype, where there are no options."""
    if not options:
        of = form(usual or get_default_dtype(), default_device(), _sizes(name, size))
        return _filled(name, of, None, fill, draw, *numbers)
    if options.keys() - _OPTIONS:
        raise TypeError(f"{name}() got an unexpected keyword argument {min(options.keys() - _OPTIONS)!r}")
    generator, out = options.pop("generator", None), options.pop("out", None)
    wants = options.pop("requires_grad", False)
    size = (options.pop("size"),) if "size" in options else size
    of = _form(name, _sizes(name, size), **options)
    if out is not None:
        with tape.no_grad():
            x = fill(result_of(name, of.shape, options.get("dtype"), out=out), *numbers, generator=generator)
    else:
        x = _filled(name, of, generator, fill, draw, *numbers)
    return x.requires_grad_() if wants else x


def _filled(
    name: str, of: Form, generator: Any, fill: Callable[..., Tensor], draw: filling.Draw | None, *numbers: Any
) -> Tensor:
    """A new tensor of a form: filled by the draw as it is allocated where that can be, else in place."""
    if draw and of.device is CPU and of.numel and (of.dtype.kind == "f" or draw not in _FLOATING):
        return filling.new(of, draw, default_generator if generator is None else checked(name, generator), *numbers)
    return fill(empty(of), *numbers, generator=generator)


_FLOATING = (filling.uniform, filling.normal)


def _made_like(name: str, template: Tensor, options: dict, fill: Callable[..., Tensor], draw: filling.Draw | None,
               *numbers: Any) -> Tensor:  # fmt: skip
    if not options:
        return _filled(name, like(template.form), None, fill, draw, *numbers)
    generator, wants = options.pop("generator", None), options.pop("requires_grad", False)
    order = str(options.pop("memory_format", None) or "preserve")
    kind, place = options.pop("dtype", None) or template.dtype, options.pop("device", None)
    if options.keys() - _OPTIONS:
        raise TypeError(f"{name}() got an unexpected keyword argument {min(options.keys() - _OPTIONS)!r}")
    of = like(template.form, kind)
    if place is not None or "contiguous" in order:
        place = template.device if place is None else usable(device_of(place))
        of = form(kind, place, template.shape, None if "contiguous" in order else of.strides)
    x = _filled(name, of, generator, fill, draw, *numbers)
    return x.requires_grad_() if wants else x


def result_of(
    name: str, shape: Any, dtype: DType | None = None, device: Any = None, out: Tensor | None = None
) -> Tensor:
    """A tensor for results: out, resized if need be, or a new contiguous one."""
    if out is None:
        return empty(_form(name, tuple(shape), dtype, device))
    if dtype is not None and out.dtype is not dtype:
        raise RuntimeError(message(name, f"out has dtype {out.dtype}", f"the result has dtype {dtype}"))
    return out if tuple(out.shape) == tuple(shape) else out.resize_(tuple(shape))


def _form(
    name: str,
    shape: tuple,
    dtype: DType | None = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Form:
    if pin_memory:
        raise RuntimeError(message(name, "pin_memory=True needs an accelerator", "there is none; leave it out"))
    if layout is not None and "strided" not in str(layout):
        raise NotImplementedError(message(name, f"layout {layout} has no random numbers", "use torch.strided"))
    place = default_device() if device is None else usable(device_of(device))
    return form(dtype or get_default_dtype(), place, shape)


def _sizes(name: str, size: tuple) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    for n in size:
        if type(n) is not int:
            return _whole_sizes(name, size)
    return size


def _whole_sizes(name: str, size: tuple) -> tuple[int, ...]:
    for n in size:
        if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
            raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(n).__name__}")
    return tuple(operator.index(n) for n in size)
