"""Small questions that PyTorch's serialization answers: which storage class a tensor class has, how new a module is."""

from __future__ import annotations

from typing import Any

from mashal.errors import message

__all__ = ["check_module_version_greater_or_equal", "normalize_storage_type"]


def normalize_storage_type(storage_type: Any) -> Any:
    """A storage class of an accelerator as that of the cpu: there is one of each."""
    if not isinstance(storage_type, type):
        raise TypeError(message("normalize_storage_type", f"a class is expected, not {type(storage_type).__name__}"))
    return storage_type


def check_module_version_greater_or_equal(
    module: Any, req_version_tuple: tuple, error_if_malformed: bool = True
) -> bool:
    """Whether a module's __version__ is at least this; RuntimeError (or True) if it can't be read.

    >>> import types
    >>> check_module_version_greater_or_equal(types.SimpleNamespace(__version__="1.10"), (1, 9))
    True
    """
    try:
        found = tuple(kind(part) for kind, part in zip(map(type, req_version_tuple), module.__version__.split(".")))
        return found >= req_version_tuple
    except Exception as error:
        wrong = f"the version {getattr(module, '__version__', None)!r} of {module} can't be read"
        if error_if_malformed:
            raise RuntimeError(message("check_module_version_greater_or_equal", wrong)) from error
        return True
