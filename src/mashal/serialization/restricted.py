"""An unpickler that builds plain data and tensors, and runs nothing else.

A pickle is a program for a stack machine. This one knows the instructions that make plain data, calls only what `safe`
allows, sets state only on OrderedDicts and on classes the user has allowed, and appends only to lists, dicts and
sets. Everything else is an UnpicklingError. Lengths a pickle names are never allocated before the bytes are there.

The instructions themselves stand in the table of `instructions`.

Stands on safe and instructions.
"""

from __future__ import annotations

import io
import pickle
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn.parameter import Parameter
from mashal.serialization.instructions import INSTRUCTIONS
from mashal.serialization.rebuild import rebuild_from_type
from mashal.serialization.safe import ALLOWED, BLOCKED, CALLED, added_by_name, hashable, refused

DAMAGE = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RecursionError, struct.error)
SIZED = frozenset((str, bytes, bytearray, list, tuple, dict, set, frozenset))
MOST_COPIES = 16  # bytes or elements handed to calls, for each byte of the pickle; PyTorch's pickles stay below 1
BITE = 1 << 20  # bytes read at a time, so that a length that lies allocates little


class RestrictedUnpickler:
    """Loads one pickle from a file object.

    file: its read and readline are used. encoding: of Python 2's strings; "bytes" leaves them bytes.
    `persistent_load`, a function of what the pickle says of a storage, is set by the caller.
    UnpicklingError: the pickle is damaged, or names or calls what is not allowed. EOFError: it is empty.
    """

    def __init__(self, file: Any, *, encoding: str = "utf-8", **others: Any):
        self.file = file
        self.encoding = encoding
        self.persistent_load: Callable[[Any], Any] = self.no_storages
        self.added = added_by_name()
        self.added_ids = {id(thing) for thing in self.added.values()}

    def load(self) -> Any:
        """The object that the pickle describes."""
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.taken = self.copied = 0
        code = self.file.read(1)
        if not code:
            raise EOFError("load: the file is empty where a pickle was expected")
        try:
            while code != pickle.STOP:
                instruction = INSTRUCTIONS.get(code)
                if instruction is None:
                    raise refused(f"load: byte {code!r} is no instruction of the pickles that save writes")
                instruction(self)
                code = self.take(1)
            return self.stack.pop()
        except DAMAGE as error:
            raise refused(f"load: the pickle is damaged: {type(error).__name__}: {error}") from error

    # ---------------------------------------------------------------- reading
    def take(self, size: int) -> bytes:
        """The next bytes of the file, all of them."""
        self.taken += size
        data = self.file.read(min(size, BITE))
        if len(data) < size:
            bites, left = [data], size - len(data)
            while left and (bite := self.file.read(min(left, BITE))):
                bites.append(bite)
                left -= len(bite)
            if left:
                raise refused("load: the pickle ends too early")
            data = b"".join(bites)
        return data

    def number(self, form: str) -> Any:
        """The next bytes as one number, in the struct module's form."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        text = self.file.readline(BITE)
        if not text.endswith(b"\n"):
            raise refused("load: the pickle ends too early")
        return text[:-1].decode()

    def text(self, form: str) -> str:
        return str(self.take(self.number(form)), "utf-8", "surrogatepass")

    def old_string(self, form: str) -> str | bytes:
        data = self.take(self.number(form))
        return data if self.encoding == "bytes" else data.decode(self.encoding)

    # ---------------------------------------------------------------- the stack
    def since_mark(self) -> list[Any]:
        """What was pushed after the last mark; the mark goes too."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def join(self, count: int) -> None:
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def remember(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise refused(f"load: only lists can be appended to, not {type(target).__name__}")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise refused(f"load: only sets can be added to, not {type(target).__name__}")
        target.update(map(hashable, items))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise refused(f"load: items can be set in dict, OrderedDict and Counter only, not {type(target).__name__}")
        for i in range(0, len(items), 2):
            target[hashable(items[i])] = items[i + 1]

    def last(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    # ---------------------------------------------------------------- what could do harm
    def find(self, module: str, name: str) -> Any:
        """What module.name stands for, if it is allowed."""
        module, name = python3_name(module, name)
        path = f"{module}.{name}"
        if module.split(".")[0] in BLOCKED:
            raise refused(
                f"load: the file names {path}; module {module} is blocked, whatever is added to the safe globals"
            )
        if path in self.added:
            return self.added[path]
        if path in ALLOWED:
            return ALLOWED[path]
        shown = path.removeprefix("builtins.")
        raise refused(
            f"Unsupported global: GLOBAL {shown} was not an allowed global by default; if this function or class is to "
            f"be trusted, allow it with torch.serialization.add_safe_globals([{shown}]), or inside "
            f"`with torch.serialization.safe_globals([{shown}]):`"
        )

    def may_call(self, function: Any) -> bool:
        return id(function) in CALLED or id(function) in self.added_ids

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or not self.may_call(function):
            raise refused(f"load: the file calls {shown(function)}, which is not among the safe globals")
        if function is rebuild_from_type and not (self.may_call(arguments[0]) and self.may_make(arguments[1])):
            raise refused(
                f"load: the file makes a tensor of {shown(arguments[1])}, which is not among the safe globals"
            )
        self.copied += sum(len(argument) for argument in arguments if type(argument) in SIZED)
        if self.copied > BITE + MOST_COPIES * self.taken:
            raise refused("load: the pickle makes far more data than it holds, by copying the same again and again")
        self.stack.append(function(*arguments))

    def may_make(self, kind: Any) -> bool:
        return kind is Tensor or kind is Parameter or id(kind) in self.added_ids

    def make(self, keywords: bool = False) -> None:
        named = self.stack.pop() if keywords else {}
        arguments, kind = self.stack.pop(), self.stack.pop()
        if kind is Tensor or not isinstance(kind, type) or not self.may_make(kind):
            raise refused(f"load: the file makes an object of {shown(kind)}, which is not among the safe globals")
        self.stack.append(kind(*arguments) if kind is Parameter else kind.__new__(kind, *arguments, **named))

    def build(self) -> None:
        state, thing = self.stack.pop(), self.stack[-1]
        if type(thing) is OrderedDict:
            thing.__dict__.update(state)
        elif id(type(thing)) not in self.added_ids:
            raise refused(
                f"load: the file sets the state of a {type(thing).__name__}, which is not among the safe globals"
            )
        elif hasattr(thing, "__setstate__"):
            thing.__setstate__(state)
        else:
            slots = state[1] if isinstance(state, tuple) and len(state) == 2 else None
            thing.__dict__.update((state[0] if slots is not None or isinstance(state, tuple) else state) or {})
            for name, value in (slots or {}).items():
                setattr(thing, name, value)

    def storage(self) -> None:
        said = self.stack.pop()
        kind = said[0] if type(said) is tuple and said else None
        if kind not in ("storage", b"storage"):
            raise refused(f"load: only storages can be referred to by a persistent id, not {shown(said)}")
        self.stack.append(self.persistent_load(said))

    def no_storages(self, said: Any) -> Any:
        raise refused("load: this pickle refers to a storage, and there are none where it stands")


def python3_name(module: str, name: str) -> tuple[str, str]:
    """The present name of what pickles of protocol 2 give Python 2's name."""
    module, name = NAME_MAPPING.get((module, name), (module, name))
    return IMPORT_MAPPING.get(module, module), name


def shown(thing: Any) -> str:
    """A thing in an error: its name if it is something to call, else its type, for its text may be endless."""
    return getattr(thing, "__qualname__", None) or f"an object of {type(thing).__name__}"


class Names(RestrictedUnpickler):
    """Lists the names in a pickle, running nothing: every name stands for an inert object."""

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data))
        self.names: set[str] = set()

    def find(self, module: str, name: str) -> Any:
        self.names.add(".".join(python3_name(module, name)))
        return Inert()

    def call(self) -> None:
        self.last(2)
        self.stack.append(Inert())

    def make(self, keywords: bool = False) -> None:
        self.last(3 if keywords else 2)
        self.stack.append(Inert())

    def build(self) -> None:
        self.stack.pop()

    def storage(self) -> None:
        self.stack[-1] = Inert()

    def append(self, items: list[Any]) -> None:
        pass

    set_items = add = append


class Inert:
    """Stands for what a pickle would make."""
