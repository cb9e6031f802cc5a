"""The instructions of a pickle that the restricted unpickler runs, each as what it does to the unpickler `u`.

Those that could do harm (naming, calling, making, setting state, referring to a storage) only call its methods of
that purpose, where the refusals are. Left out, and so refused, are those that `save` never writes: numbers as text, the old ways
to make objects, extension codes, buffers outside the pickle.

Stands on safe.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from mashal.serialization.safe import frozenset_of


def push(read: Callable[[Any], Any]) -> Callable[[Any], None]:
    """The instruction that pushes what `read` gives."""

    def instruction(u: Any) -> None:
        value = read(u)  # reading may exchange the stack, so it comes first
        u.stack.append(value)

    return instruction


INSTRUCTIONS: dict[bytes, Callable[[Any], Any]] = {
    pickle.PROTO: lambda u: u.take(1),
    pickle.FRAME: lambda u: u.take(8),
    pickle.NONE: push(lambda u: None),
    pickle.NEWTRUE: push(lambda u: True),
    pickle.NEWFALSE: push(lambda u: False),
    pickle.BININT: push(lambda u: u.number("<i")),
    pickle.BININT1: push(lambda u: u.number("<B")),
    pickle.BININT2: push(lambda u: u.number("<H")),
    pickle.LONG1: push(lambda u: pickle.decode_long(u.take(u.number("<B")))),
    pickle.BINFLOAT: push(lambda u: u.number(">d")),
    pickle.BINUNICODE: push(lambda u: u.text("<I")),
    pickle.SHORT_BINUNICODE: push(lambda u: u.text("<B")),
    pickle.BINUNICODE8: push(lambda u: u.text("<Q")),
    pickle.SHORT_BINSTRING: push(lambda u: u.old_string("<B")),
    pickle.BINSTRING: push(lambda u: u.old_string("<I")),
    pickle.SHORT_BINBYTES: push(lambda u: u.take(u.number("<B"))),
    pickle.BINBYTES: push(lambda u: u.take(u.number("<I"))),
    pickle.BINBYTES8: push(lambda u: u.take(u.number("<Q"))),
    pickle.BYTEARRAY8: push(lambda u: bytearray(u.take(u.number("<Q")))),
    pickle.EMPTY_LIST: push(lambda u: []),
    pickle.EMPTY_DICT: push(lambda u: {}),
    pickle.EMPTY_SET: push(lambda u: set()),
    pickle.EMPTY_TUPLE: push(lambda u: ()),
    pickle.MARK: lambda u: u.mark(),
    pickle.POP: lambda u: u.stack.pop() if u.stack else u.since_mark(),
    pickle.POP_MARK: lambda u: u.since_mark(),
    pickle.TUPLE: push(lambda u: tuple(u.since_mark())),
    pickle.TUPLE1: lambda u: u.join(1),
    pickle.TUPLE2: lambda u: u.join(2),
    pickle.TUPLE3: lambda u: u.join(3),
    pickle.LIST: push(lambda u: u.since_mark()),
    pickle.APPEND: lambda u: u.append(u.last(1)),
    pickle.APPENDS: lambda u: u.append(u.since_mark()),
    pickle.SETITEM: lambda u: u.set_items(u.last(2)),
    pickle.SETITEMS: lambda u: u.set_items(u.since_mark()),
    pickle.ADDITEMS: lambda u: u.add(u.since_mark()),
    pickle.FROZENSET: push(lambda u: frozenset_of(u.since_mark())),
    pickle.BINPUT: lambda u: u.remember(u.number("<B")),
    pickle.LONG_BINPUT: lambda u: u.remember(u.number("<I")),
    pickle.MEMOIZE: lambda u: u.remember(len(u.memo)),
    pickle.BINGET: push(lambda u: u.memo[u.number("<B")]),
    pickle.LONG_BINGET: push(lambda u: u.memo[u.number("<I")]),
    pickle.GLOBAL: push(lambda u: u.find(u.line(), u.line())),
    pickle.STACK_GLOBAL: push(lambda u: u.find(*u.last(2))),
    pickle.REDUCE: lambda u: u.call(),
    pickle.NEWOBJ: lambda u: u.make(),
    pickle.NEWOBJ_EX: lambda u: u.make(keywords=True),
    pickle.BUILD: lambda u: u.build(),
    pickle.BINPERSID: lambda u: u.storage(),
}
