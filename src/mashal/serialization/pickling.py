"""The pickler of `save`: Python's own, with storages left out and PyTorch's names written.

Python's pickler written in C checks that every name it writes can be imported here, so it cannot write PyTorch's names;
the one written in Python lets us say what is written. It is slower, which shows only in long lists of plain
numbers: those go through the C one whole. What another pickle_module writes keeps mashal's names, and is for mashal alone.

Stands on rebuild and names.
"""

from __future__ import annotations

import pickle
from _compat_pickle import REVERSE_IMPORT_MAPPING, REVERSE_NAME_MAPPING
from collections.abc import Callable
from typing import IO, Any, ClassVar

from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.serialization.locations import location_tag
from mashal.serialization.memory import StorageType, TypedStorage, identity
from mashal.serialization.names import CLASS_OF_DTYPE, name_of, written_name
from mashal.serialization.rebuild import taken_apart

PLAIN = frozenset((int, float, bool, type(None)))
BASIC = frozenset((*PLAIN, str, bytes, tuple, list, dict, set))
LONG_LIST = 64  # elements; from here on the C pickler is worth its call
LIST_HEAD = len(pickle.dumps([], 2)) - 1  # what stands before the elements: the protocol, the list, its number
PersistentId = Callable[[Any], Any]


class Storages:
    """The storages met while pickling, numbered as they come."""

    def __init__(self) -> None:
        self.keys: dict[object, str] = {}
        self.kept: list[UntypedStorage] = []
        self.dtypes: dict[object, str] = {}

    def persistent_id(self, thing: Any) -> tuple[Any, ...] | None:
        """("storage", class, key, location, elements) for a storage; None for everything else."""
        if isinstance(thing, TypedStorage):
            storage, dtype_name = thing.storage, name_of(thing.dtype)
            kind: Any = StorageType(CLASS_OF_DTYPE[dtype_name], thing.dtype)
            elements = storage.nbytes() // thing.dtype.itemsize
        elif isinstance(thing, UntypedStorage):
            storage, dtype_name, kind, elements = thing, "uint8", UntypedStorage, thing.nbytes()
        else:
            return None
        return ("storage", self.kind(kind), self.key(storage, dtype_name), location_tag(storage), elements)

    def key(self, storage: UntypedStorage, dtype_name: str) -> str:
        """A storage's number; RuntimeError if it was met before as another dtype, which the format cannot say."""
        same = identity(storage)
        key = self.keys.get(same)
        if key is None:
            key = self.keys[same] = str(len(self.kept))
            self.kept.append(storage)
            self.dtypes[same] = dtype_name
        elif self.dtypes[same] != dtype_name:
            raise RuntimeError(
                f"save: two tensors see the same memory as {self.dtypes[same]} and as {dtype_name}, which a file "
                "cannot say; save a clone of one of them"
            )
        return key

    def kind(self, kind: Any) -> Any:
        """The one object that stands for a storage class, so that its name is written once."""
        return KINDS.setdefault(kind.name, kind) if isinstance(kind, StorageType) else kind

    def dtype_of(self, key: str) -> str:
        """The name of the dtype a storage was met as."""
        return self.dtypes[identity(self.kept[int(key)])]

    def in_order(self) -> list[UntypedStorage]:
        return self.kept


KINDS: dict[str, StorageType] = {}


class PyTorchPickler(pickle._Pickler):  # type: ignore[name-defined]
    """Python's pickler, writing names and tensors in PyTorch's way."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: IO[bytes], protocol: int, persistent_id: PersistentId):
        super().__init__(file, protocol)
        self.identify = persistent_id

    def persistent_id(self, obj: Any) -> Any:
        return self.identify(obj)

    def reducer_override(self, thing: Any) -> Any:
        return reduced(thing)

    def save(self, thing: Any, save_persistent_id: bool = True) -> None:
        """As Python's, but plain data is not asked whether it is a storage or a tensor: twice as fast."""
        kind = type(thing)
        if kind not in BASIC:
            super().save(thing, save_persistent_id)
            return
        self.framer.commit_frame()
        known = self.memo.get(id(thing))
        if known is None:
            self.dispatch[kind](self, thing)
        else:
            self.write(self.get(known[0]))

    def save_global(self, thing: Any, name: str | None = None) -> None:
        """Writes "module name", PyTorch's for what mashal defines."""
        module, name = ("torch", thing.name) if isinstance(thing, StorageType) else written_name(thing, name)
        if self.proto < 3:
            module, name = REVERSE_NAME_MAPPING.get((module, name), (module, name))
            module = REVERSE_IMPORT_MAPPING.get(module, module)
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(thing)

    def save_plain_list(self, items: list[Any]) -> None:
        """A list; if it is long and of plain numbers only, by the C pickler."""
        if self.proto not in (2, 3) or len(items) < LONG_LIST or not PLAIN.issuperset(map(type, items)):
            self.save_list(items)
            return
        self.write(pickle.EMPTY_LIST)
        self.memoize(items)
        self.write(pickle.dumps(items, self.proto)[LIST_HEAD:-1])

    def save_type(self, thing: type) -> None:
        """A class: by its name, but for the three that have none."""
        if thing in (type(None), type(NotImplemented), type(...)):
            super().save_type(thing)
        else:
            self.save_global(thing)

    dispatch[list] = save_plain_list
    dispatch[type] = save_type
    dispatch[type(len)] = save_global
    dispatch[type(lambda: None)] = save_global


def reduced(thing: Any) -> Any:
    """How PyTorchPickler writes an object that is mashal's; NotImplemented for what isn't."""
    return thing.name if isinstance(thing, StorageType) else taken_apart(thing)


def pickler(module: Any, file: IO[bytes], protocol: int, persistent_id: PersistentId) -> Any:
    """A pickler of a pickle module, that leaves storages to `persistent_id`."""
    if module is pickle:
        return PyTorchPickler(file, protocol, persistent_id)

    class OtherPickler(module.Pickler):
        """The user's pickler, with storages left out."""

        def persistent_id(self, thing: Any) -> Any:
            return persistent_id(thing)

        def reducer_override(self, thing: Any) -> Any:
            result = taken_apart(thing) if isinstance(thing, Tensor) else NotImplemented
            inherited = getattr(super(), "reducer_override", None)
            return inherited(thing) if result is NotImplemented and inherited else result

    return OtherPickler(file, protocol=protocol)
