"""assert_close: tensors, numbers, and sequences and mappings of these, equal up to a tolerance."""

from __future__ import annotations

import cmath
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.interop import is_array, is_array_scalar
from mashal.core.layouts import strided
from mashal.core.tensor import Tensor
from mashal.ops import creation
from mashal.ops.promotion import result_type_of

__all__ = ["assert_allclose", "assert_close"]

TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
              "complex32": (1e-3, 1e-5), "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7)}  # fmt: skip


def assert_close(
    actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:  # fmt: skip
    """AssertionError unless |actual - expected| <= atol + rtol·|expected| everywhere.

    actual, expected: tensors, arrays, numbers, or sequences or mappings of these, of the same kind on both sides (TypeError).
    allow_subclasses: whether one may be of a subclass of the other's class. rtol, atol: both or none; by default what the dtype can
    hold. equal_nan: whether nan equals nan. Shape, and unless said otherwise dtype, device and layout, must agree.

    >>> torch.testing.assert_close(torch.tensor([1.0]), torch.tensor([1.0000001]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError(
            f"rtol and atol must both be specified or both be unspecified, but got rtol={rtol} and atol={atol}"
        )
    options = dict(
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=check_device,
        check_dtype=check_dtype,
        check_stride=check_stride,
        check_layout=check_layout,
        allow_subclasses=allow_subclasses,
    )
    wrong = _difference(actual, expected, "", options)
    if wrong:
        raise AssertionError(msg(wrong) if callable(msg) else msg or wrong)


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True,
                    msg: str = "") -> None:  # fmt: skip
    """assert_close that does not look at dtypes and devices; old."""
    assert_close(
        actual,
        expected,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=False,
        check_dtype=False,
        msg=msg or None,
    )


def _difference(actual: Any, expected: Any, where: str, options: dict) -> str:
    """What is wrong, or ""."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            return f"The keys of the mappings do not match{where}: {sorted(actual.keys() ^ expected.keys(), key=str)} are on one side only"
        return next(
            filter(None, (_difference(actual[k], expected[k], f"{where}[{k!r}]", options) for k in expected)), ""
        )
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch{where}: {len(actual)} != {len(expected)}"
        pairs = enumerate(zip(actual, expected))
        return next(filter(None, (_difference(a, b, f"{where}[{i}]", options) for i, (a, b) in pairs)), "")
    if isinstance(actual, numbers.Number) and isinstance(expected, numbers.Number):
        return _of_numbers(actual, expected, where, options)
    if actual is None or expected is None:
        return "" if actual is expected else f"None mismatch{_at(where)}: {actual!r} is not {expected!r}"
    if not _comparable(actual, expected, options["allow_subclasses"]):
        raise TypeError(
            f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}{_at(where)}: "
            "both have to be tensors, both arrays, both numbers, or sequences or mappings of these"
        )
    a, b = (x if isinstance(x, Tensor) else creation.as_tensor(x) for x in (actual, expected))
    return _of_tensors(a, b, where, options)


def _comparable(actual: Any, expected: Any, subclasses: bool) -> bool:
    """Whether both are tensors or both arrays, of one class (or one of a subclass of the other's)."""
    if not all(isinstance(x, Tensor) or is_array(x) or is_array_scalar(x) for x in (actual, expected)):
        return False
    kin = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    return kin if subclasses else type(actual) is type(expected)


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _at(where: str) -> str:
    return f" at {where}" if where else ""


def _tolerances(d: dtype, options: dict) -> tuple[float, float]:
    if options["rtol"] is not None:
        return options["rtol"], options["atol"]
    return TOLERANCES.get(d.name, (0.0, 0.0))


def _of_numbers(actual: Any, expected: Any, where: str, options: dict) -> str:
    rtol, atol = _tolerances(
        result_type_of((float("nan"),)) if _inexact(actual, expected) else result_type_of((0,)), options
    )
    if _inexact(actual, expected) and options["rtol"] is None:
        rtol, atol = (1e-7, 1e-7)
    if cmath.isnan(actual) and cmath.isnan(expected):
        close = options["equal_nan"]
    else:
        close = actual == expected or (
            abs(actual - expected) <= atol + rtol * abs(expected) and cmath.isfinite(expected)
        )
    if close:
        return ""
    allowed = f"(allowed: {atol} + {rtol} · |expected|)"
    return f"Scalars are not close{_at(where)}: {actual} and {expected} differ by {abs(actual - expected)} {allowed}"


def _inexact(*values: Any) -> bool:
    return any(isinstance(x, (float, complex)) for x in values)


def _of_tensors(actual: Tensor, expected: Tensor, where: str, options: dict) -> str:
    if actual.shape != expected.shape:
        return f"The values for attribute 'shape' do not match{_at(where)}: {actual.shape} != {expected.shape}."
    for name in ("device", "dtype"):
        if options[f"check_{name}"] and getattr(actual, name) != getattr(expected, name):
            return f"The values for attribute '{name}' do not match{_at(where)}: {getattr(actual, name)} != {getattr(expected, name)}."
    if options["check_layout"] and actual.layout != expected.layout:
        return f"The values for attribute 'layout' do not match{_at(where)}: {actual.layout} != {expected.layout}."
    actual, expected = (x if x.layout is strided else x.to_dense() for x in (actual, expected))
    if options["check_stride"] and actual.stride() != expected.stride():
        return (
            f"The values for attribute 'stride()' do not match{_at(where)}: {actual.stride()} != {expected.stride()}."
        )
    pairs = [
        (actual.dtype, TOLERANCES.get(actual.dtype.name, (0.0, 0.0))),
        (expected.dtype, TOLERANCES.get(expected.dtype.name, (0.0, 0.0))),
    ]
    rtol, atol = (
        (options["rtol"], options["atol"])
        if options["rtol"] is not None
        else (max(p[1][0] for p in pairs), max(p[1][1] for p in pairs))
    )
    common = result_type_of((actual, expected))
    a, b = actual.detach().to(common), expected.detach().to(common)
    if not a.numel():
        return ""
    return _summary(a, b, rtol, atol, where, options["equal_nan"])


def _summary(a: Tensor, b: Tensor, rtol: float, atol: float, where: str, equal_nan: bool) -> str:
    """How many elements differ by more than is allowed, and where most."""
    close = a.isclose(b, rtol=rtol, atol=atol, equal_nan=equal_nan) if rtol or atol or equal_nan else a == b
    wrong = close.numel() - int(close.sum())
    if not wrong:
        return ""
    total = close.numel()
    shape, difference = tuple(a.shape), (a.double() - b.double() if not a.is_complex() else a - b).abs()
    difference = difference.where(~close, 0 * difference.nan_to_num(0.0, 0.0, 0.0))
    flat = difference.nan_to_num(float("inf")).reshape(-1)
    place, index = int(flat.argmax()), []
    for n in reversed(shape):
        index.append(place % n)
        place //= n
    most = flat.max().item()
    return (
        f"Tensor-likes are not close{_at(where)}!\n\nMismatched elements: {wrong} / {total} ({100 * wrong / total:.1f}%)\n"
        f"Greatest absolute difference: {most} at index {tuple(reversed(index))} (up to {atol} + {rtol} · |expected| allowed)"
    )
