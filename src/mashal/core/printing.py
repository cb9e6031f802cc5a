"""How a tensor prints: PyTorch's text, to the letter.

    tensor(  body  , suffix, suffix )

The body is the numbers in brackets, all in one format that is chosen from the numbers shown; a tensor of more than
`threshold` elements shows only the edges of its long dimensions, and only those are ever read. Suffixes say what
the numbers don't: device, size, dtype, gradient.

Stands on a tensor's public surface alone (shape, dtype, device, narrow, tolist, …), so whatever behaves like a tensor
prints. The one surprise: zeros, infinities and nan have no say in the format or in the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from typing import Any

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]


# ---------------------------------------------------------------- options
@dataclass(slots=True)
class Options:
    """What `set_printoptions` sets: digits, elements before a summary, its edges, line width, scientific or not."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


OPTIONS = Options()
PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=inf),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors print. What isn't given stays, but sci_mode goes back to None (chosen by the numbers).

    precision: digits behind the point. threshold: more elements than this are summarised, with `edgeitems` at each
    end of a dimension. linewidth: characters a line. profile: "default", "short" or "full", the others on top of it.

    >>> import mashal as torch
    >>> torch.set_printoptions(precision=2)
    >>> torch.tensor([1.2345])
    tensor([1.23])
    >>> torch.set_printoptions(profile="default")
    """
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"set_printoptions: profile {profile!r} is none of 'default', 'short' and 'full'")
    given = dict(precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth)
    given = {name: checked(name, value) for name, value in given.items() if value is not None}
    start = asdict(PROFILES[profile]) if profile else {}
    for name, value in {**start, **given, "sci_mode": sci_mode}.items():
        setattr(OPTIONS, name, value)


def checked(name: str, value: Any) -> Any:
    """An option's value, if it is a whole number of at least 0, or infinite where that has a meaning."""
    if value == inf and name in ("threshold", "linewidth"):
        return value
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        count = -1
    if count < 0 or count != value:
        raise ValueError(f"set_printoptions: {name} is {value!r}; it must be a whole number of at least 0")
    return count


def get_printoptions() -> dict[str, Any]:
    """The options as they stand, by name.

    >>> get_printoptions()
    {'precision': 4, 'threshold': 1000, 'edgeitems': 3, 'linewidth': 80, 'sci_mode': None}
    """
    return {field.name: getattr(OPTIONS, field.name) for field in fields(OPTIONS)}


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Within the block tensors print with these options of `set_printoptions`.

    >>> with printoptions(precision=1):
    ...     get_printoptions()["precision"]
    1
    """
    before = get_printoptions()
    try:
        set_printoptions(**options)
        yield
    finally:
        set_printoptions(**before)


# ---------------------------------------------------------------- one number
Writer = Callable[[Any], str]


def real_writer(numbers: list[float]) -> tuple[Writer, int]:
    """The format that these numbers share, as a function from a number to its text, and the texts' width."""
    telling = [x for x in numbers if x and isfinite(x)]
    sizes = [abs(x) for x in telling] or [1.0]
    low, high = min(sizes), max(sizes)
    scientific = OPTIONS.sci_mode
    if scientific is None:
        scientific = high / low > 1000 or high > 1e8 or low < 1e-4
    if not telling:
        write = whole
    elif scientific:
        write = f"%.{OPTIONS.precision}e".__mod__
    elif all(map(float.is_integer, telling)):
        write = whole
    else:
        write = f"%.{OPTIONS.precision}f".__mod__
    return write, max(map(len, map(write, telling)), default=1)


def whole(x: float) -> str:
    """A float without digits behind its point: `3.`, but `inf`."""
    return "%.0f." % x if isfinite(x) else "%.0f" % x


def complex_writer(numbers: list[complex]) -> tuple[Writer, int]:
    """As `real_writer`, for real and imaginary parts by themselves; only the real part is padded."""
    write_real, real_width = real_writer([z.real for z in numbers])
    write_imaginary, imaginary_width = real_writer([z.imag for z in numbers])

    def write(z: complex) -> str:
        imaginary = write_imaginary(z.imag)
        sign = "" if imaginary[0] in "+-" else "+"
        return f"{write_real(z.real).rjust(real_width)}{sign}{imaginary}j"

    return write, real_width + imaginary_width + 1


def writer(numbers: list[Any]) -> tuple[Writer, int]:
    """The format of the numbers shown, padded, and its width, by the kind of the first; integers and truths print as
    they are."""
    if isinstance(numbers[0], complex):
        return complex_writer(numbers)
    if isinstance(numbers[0], float):
        write, width = real_writer(numbers)
    else:
        write, width = str, max(map(len, map(str, numbers)))
    return (lambda x: write(x).rjust(width)), width


# ---------------------------------------------------------------- body
def edges(tensor: Any, cut: list[bool], edge: int, dim: int = 0) -> Any:
    """The elements that a summary shows, as nested lists: both ends of the dimensions that are cut, others whole."""
    if dim == len(cut):
        return tensor.tolist()
    if not cut[dim]:
        return edges(tensor, cut, edge, dim + 1)
    first = edges(tensor.narrow(dim, 0, edge), cut, edge, dim + 1)
    last = edges(tensor.narrow(dim, tensor.shape[dim] - edge, edge), cut, edge, dim + 1)
    return joined(first, last, dim)


def joined(first: list, last: list, dim: int) -> list:
    """Two nested lists put together along a dimension."""
    return first + last if dim == 0 else [joined(a, b, dim - 1) for a, b in zip(first, last, strict=True)]


def flattened(nested: Any, dims: int) -> list:
    """The numbers in `dims` levels of lists, in order."""
    if dims == 0:
        return [nested]
    for _ in range(dims - 1):
        nested = [x for inner in nested for x in inner]
    return nested


def body(tensor: Any, indent: int) -> str:
    """The numbers in their brackets, for a tensor that has some; lines after the first begin at `indent`."""
    shape = tuple(tensor.shape)
    summarised = tensor.numel() > OPTIONS.threshold
    edge = OPTIONS.edgeitems
    if summarised and edge == 0:
        return "[...]"
    cut = [summarised and size > 2 * edge for size in shape]
    nested = edges(tensor, cut, edge)
    write, width = writer(flattened(nested, len(shape)))
    return block(nested, cut, write, width, indent) if shape else write(nested)


def block(nested: list, cut: list[bool], write: Writer, width: int, indent: int) -> str:
    """The text of nested lists: rows on lines of their own, an empty line between matrices, and so on."""
    if len(cut) == 1:
        return row([write(x) for x in nested], cut[0], width, indent)
    parts = [block(inner, cut[1:], write, width, indent + 1) for inner in nested]
    if cut[0]:
        parts.insert(OPTIONS.edgeitems, "...")
    return f"[{(',' + (len(cut) - 1) * chr(10) + ' ' * (indent + 1)).join(parts)}]"


def row(items: list[str], cut: bool, width: int, indent: int) -> str:
    """A row of numbers, broken into lines that fit."""
    if cut:
        items.insert(OPTIONS.edgeitems, " ...")
    room = min(OPTIONS.linewidth - indent, len(items) * (width + 2))
    a_line = max(1, room // (width + 2))
    lines = [", ".join(items[i : i + a_line]) for i in range(0, len(items), a_line)]
    return f"[{(',' + chr(10) + ' ' * (indent + 1)).join(lines)}]"


def sparse_body(tensor: Any, indent: int) -> str:
    """Indices and values of a sparse tensor, each as a tensor of its own."""
    parts = []
    for name, part in tensor._named_parts():
        opening = f"{name}=tensor("
        text = body(part, indent + len(opening)) if part.numel() else f"[], size={tuple(part.shape)}"
        parts.append(f"{opening}{text})")
    return (",\n" + " " * indent).join(parts)


# ---------------------------------------------------------------- the whole text
COMPLEX_PARTNER = {"torch.float64": "torch.complex128", "torch.float16": "torch.complex32"}


def suffixes(tensor: Any, default_dtype: Any, sparse: bool) -> Iterator[str]:
    """What stands behind the body, in order."""
    dtype, default = str(tensor.dtype), str(default_dtype)
    meta, empty = tensor.device.type == "meta", tensor.numel() == 0
    usual = (default,)
    if tensor.device.type != "cpu":
        yield f"device='{tensor.device}'"
    if sparse:
        yield f"size={tuple(tensor.shape)}"
        yield f"nnz={tensor._nnz()}"
    elif meta or (empty and tensor.ndim != 1) or (not empty and OPTIONS.edgeitems == 0):
        yield f"size={tuple(tensor.shape)}"
    if sparse or not (meta or empty):
        usual = (default, COMPLEX_PARTNER.get(default, "torch.complex64"), "torch.int64", "torch.bool")
    if dtype not in usual:
        yield f"dtype={dtype}"
    if sparse:
        yield f"layout={tensor.layout}"
    if tensor.grad_fn is not None:
        yield f"grad_fn=<{type(tensor.grad_fn).__name__}>"
    elif tensor.requires_grad:
        yield "requires_grad=True"


def text(tensor: Any, default_dtype: Any, name: str = "tensor") -> str:
    """The whole text of a tensor; `name` stands before the bracket (a subclass prints its own).

    default_dtype: the dtype that goes without saying.
    """
    opening = f"{name}("
    indent = len(opening)
    sparse = hasattr(tensor, "_named_parts")
    if sparse:
        result = opening + sparse_body(tensor.detach(), indent)
    elif tensor.device.type == "meta":
        result = opening + "..."
    elif tensor.numel() == 0:
        result = opening + "[]"
    else:
        result = opening + body(tensor.detach(), indent)
    used = len(result) - result.rfind("\n") - 1 + 2
    for suffix in suffixes(tensor, default_dtype, sparse):
        if used + len(suffix) + 2 > OPTIONS.linewidth or (tensor.is_sparse and suffix.startswith("size=")):
            result += f",\n{' ' * indent}{suffix}"
            used = indent + len(suffix)
        else:
            result += f", {suffix}"
            used += len(suffix) + 2
    return result + ")"


def formatted(tensor: Any, specification: str) -> str:
    """What an f-string shows: a 0-d tensor formats its number, any other is its text (and takes no specification)."""
    if tensor.ndim == 0 and tensor.device.type != "meta":
        return format(tensor.item(), specification)
    return object.__format__(tensor, specification)


def fields_text(name: str, values: dict[str, Any]) -> str:
    """The text of a result with names, such as that of `max` along a dimension.

    >>> print(fields_text("max", {"values": 7.0, "indices": 1}))
    torch.return_types.max(
    values=7.0,
    indices=1)
    """
    return f"torch.return_types.{name}(\n" + ",\n".join(f"{field}={value!r}" for field, value in values.items()) + ")"
