"""What an error says, and PyTorch's exception classes that Python doesn't have.

    RuntimeError
    ├── AcceleratorError    a device's driver reported a failure
    ├── OutOfMemoryError    memory was asked for that is not there
    └── LinAlgError         a matrix has no such factor, inverse or solution

Every message has four parts: the operation, what is wrong, the values, what would be right. `message` puts them
in order; the exception's class is PyTorch's for the same mistake (a wrong shape is a RuntimeError, a wrong dim an
IndexError, a wrong type a TypeError). Names from inside mashal never appear in a message.

Stands on nothing; everything stands on it.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["AcceleratorError", "LinAlgError", "OutOfMemoryError", "listed", "message", "missing_extra", "out_of_memory"]


class AcceleratorError(RuntimeError):
    """A device's driver reported a failure."""


class OutOfMemoryError(RuntimeError):
    """Memory was asked for that is not there; the message says how much."""


class LinAlgError(RuntimeError):
    """A matrix has no such factor, inverse or solution."""


def message(operation: str, wrong: str, right: str = "") -> str:
    """The text of an error: the operation, what is wrong with which values, and what would be right.

    >>> print(message("linear", "input (2, 5) has 5 features", "weight (4, 3) expects 3"))
    linear: input (2, 5) has 5 features; weight (4, 3) expects 3
    """
    return f"{operation}: {wrong}; {right}" if right else f"{operation}: {wrong}"


def listed(words: Iterable[object], last: str = "and") -> str:
    """Words as a sentence lists them.

    >>> listed(["mean", "sum", "none"], "or")
    'mean, sum or none'
    """
    *first, final = [str(word) for word in words] or ["nothing"]
    return f"{', '.join(first)} {last} {final}" if first else final


def missing_extra(package: str, line: str) -> ImportError:
    """The error for an optional package that is not installed; `line` is what installs it.

    >>> print(missing_extra("tensorboard", "pip install tensorboard"))
    tensorboard is not installed; to have it, run: pip install tensorboard
    """
    return ImportError(f"{package} is not installed; to have it, run: {line}", name=package)


def out_of_memory(device: str, asked: int, limit: str = "") -> OutOfMemoryError:
    """The error for memory that is not there: `asked` bytes on a device, and what is known of the limit.

    >>> print(out_of_memory("cpu", 3 << 40))
    memory: 3298534883328 bytes (3.00 TiB) were asked for on cpu and could not be had
    """
    size, unit = float(asked), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024 or unit == "PiB":
            break
        size /= 1024
    pretty = f" ({size:.2f} {unit})" if unit != "bytes" else ""
    return OutOfMemoryError(
        message("memory", f"{asked} bytes{pretty} were asked for on {device} and could not be had", limit)
    )
