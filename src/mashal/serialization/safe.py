"""What a file may name when it is loaded with weights_only=True: a list of our own, and what the user adds to it.

The list holds tensors' parts, dtypes and storage classes, and a handful of harmless builders of plain data, wrapped so
that none of them allocates at a file's will. Names of the modules in BLOCKED are refused even if added.

Stands on names and rebuild.
"""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.devices import device
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.nn.parameter import Parameter
from mashal.serialization import rebuild
from mashal.serialization.names import DTYPES, OWN_NAMES, STORAGE_CLASSES, storage_class, torch_name

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]

BLOCKED = ("sys", "os", "posix", "nt")
ENCODINGS = ("latin1", "latin-1", "ascii", "utf-8", "utf8")
Global = Callable[..., Any] | tuple[Callable[..., Any], str]
added: list[Global] = []


MOST_PARTS = 10_000  # of a nested tuple used as a key: hashing it visits all, also those that are there twice


def refused(what: str) -> pickle.UnpicklingError:
    """The error for a pickle that is not run."""
    return pickle.UnpicklingError(what)


def hashable(key: Any) -> Any:
    """A key, unless hashing it would take for ever: nested tuples may hold the same tuple twice, and again."""
    if type(key) is tuple:
        hashable_parts(key)
    return key


def hashable_parts(thing: Any) -> None:
    """UnpicklingError if a nested tuple has too many parts, counted as hashing visits them."""
    todo, seen = [thing], 0
    while todo:
        part = todo.pop()
        if type(part) is tuple:
            seen += 1
            if seen > MOST_PARTS:
                raise refused("load: the pickle nests tuples too deeply")
            todo.extend(item for item in part if type(item) is tuple)


def ordered_of(items: Any = ()) -> OrderedDict[Any, Any]:
    """OrderedDict, from nothing, a dict or pairs."""
    pairs = items.items() if isinstance(items, dict) else items
    return OrderedDict((hashable(key), value) for key, value in pairs)


def encoded(text: str, encoding: str = "utf-8") -> bytes:
    """bytes, in the way pickles of protocol 2 write them: `_codecs.encode`, for plain encodings only."""
    if type(text) is not str or encoding not in ENCODINGS:
        raise ValueError(f"load: {type(text).__name__} in encoding {encoding!r} is no bytes of a pickle")
    return text.encode(encoding)


def bytes_from(data: Any = b"") -> bytes:
    """bytes, from nothing or from numbers in a list; not from a length."""
    if type(data) not in (bytes, list, tuple):
        raise ValueError(f"load: bytes of {type(data).__name__} are not allowed")
    return bytes(data)


def bytearray_of(data: Any = b"", encoding: str = "latin1") -> bytearray:
    """bytearray, from bytes or text; not from a length."""
    if type(data) is str:
        return bytearray(encoded(data, encoding))
    if type(data) not in (bytes, bytearray):
        raise ValueError(f"load: a bytearray of {type(data).__name__} is not allowed")
    return bytearray(data)


def set_of(items: Any = ()) -> set[Any]:
    """set, from a list, a tuple or a set."""
    if type(items) not in (list, tuple, set, frozenset):
        raise ValueError(f"load: a set of {type(items).__name__} is not allowed")
    return set(map(hashable, items))


def frozenset_of(items: Any = ()) -> frozenset[Any]:
    """frozenset, from a list, a tuple or a set."""
    return frozenset(set_of(items))


def counter_of(counts: Any = ()) -> Counter[Any]:
    """Counter, from a dict."""
    return Counter(dict(counts))


def layout_of(name: str) -> Any:
    """A layout by its name: only the strided one can be had."""
    if name != "torch.strided" or layouts.get(name) is None:
        raise RuntimeError(f"load: there are no tensors of layout {name} here")
    return layouts[name]


layouts: dict[str, Any] = {}
ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": ordered_of,
    "collections.Counter": counter_of,
    "_codecs.encode": encoded,
    "builtins.bytearray": bytearray_of,
    "builtins.set": set_of,
    "builtins.frozenset": frozenset_of,
    "builtins.bytes": bytes_from,
    "builtins.complex": complex,
    "torch.nn.parameter.Parameter": Parameter,
    "torch.Tensor": Tensor,
    "torch.Size": Size,
    "torch.device": device,
    "torch.storage.UntypedStorage": UntypedStorage,
    "torch.UntypedStorage": UntypedStorage,
    "torch.serialization._get_layout": layout_of,
    **{f"torch.{name}": dtype_ for name, dtype_ in DTYPES.items()},
    **{f"torch.{name}": storage_class(name) for name in STORAGE_CLASSES},
    **{
        ".".join(OWN_NAMES[f]): f
        for f in vars(rebuild).values()
        if callable(f) and OWN_NAMES.get(f, " ")[0][:7] == "torch._"
    },
}
CALLED = frozenset(
    id(f) for f in ALLOWED.values() if callable(f) and f not in (Tensor, UntypedStorage)
)  # what REDUCE may call: UntypedStorage(n) would allocate what the file says


def add_safe_globals(safe_globals: Sequence[Global]) -> None:
    """Allows these functions and classes in files loaded with weights_only=True, for all loads to come.

    safe_globals: functions or classes, or pairs of one with the name that files have for it ("module.name").
    """
    for item in safe_globals:
        names_of(item)
        if item not in added:
            added.append(item)


def get_safe_globals() -> list[Global]:
    """What has been added.

    >>> get_safe_globals()
    []
    """
    return list(added)


def clear_safe_globals() -> None:
    """Takes back all that has been added."""
    added.clear()


class safe_globals:
    """Allows functions and classes as `add_safe_globals` does, inside a with statement only.

    >>> with safe_globals([print]):
    ...     get_safe_globals()
    [<built-in function print>]
    >>> get_safe_globals()
    []
    """

    def __init__(self, safe_globals: Sequence[Global]):
        self.items = list(safe_globals)

    def __enter__(self) -> None:
        self.new = [item for item in self.items if item not in added]
        add_safe_globals(self.items)

    def __exit__(self, *exception: object) -> None:
        for item in self.new:
            if item in added:
                added.remove(item)


def names_of(item: Global) -> list[str]:
    """The names that files may have for an added function or class."""
    if not isinstance(item, tuple):
        module, name = item.__module__, item.__qualname__
        return [f"{module}.{name}", ".".join(torch_name(module, name))]
    if len(item) != 2:
        raise ValueError(
            f"add_safe_globals: {item!r} has {len(item)} parts; a pair of a function and its name is expected"
        )
    if type(item[1]) is not str:
        raise TypeError(f"add_safe_globals: the name in {item!r} is {type(item[1]).__name__}; it must be a str")
    return [item[1]]


def added_by_name() -> dict[str, Any]:
    """What the user has added, by the names files have for it."""
    return {name: item[0] if isinstance(item, tuple) else item for item in added for name in names_of(item)}
