"""What a replay does (machine.replay), as tables of 8-byte words."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mashal.machine import modes

# words of the block: a count and the address of a table each, in this order
TABLES = ("operands", "apart", "together", "slots", "entries", "items", "storages", "gradients", "blocks", "bases", "undo", "launches",
          "results", "leaves", "bumps")  # fmt: skip
BUSY, ARENA, ARENA_BASE, WORK, RETURNS, RETURNED, ASKED, MODES, HEAD = range(9)
WORDS = {"operands": 6, "apart": 3, "together": 5, "slots": 2, "entries": 3, "items": 3, "storages": 2, "gradients": 4, "blocks": 4,
         "bases": 4, "undo": 4, "launches": 2, "results": 4, "leaves": 2, "bumps": 2}  # fmt: skip
ASKED_USUALLY = ~modes.SETTLING  # with WATCHED: while somebody watches, a call has to run its Python
NOTHING = type("Nothing", (), {"__repr__": lambda self: "NOTHING"})()  # expected of a dictionary without such a key
TENSOR, SAME = range(2)  # what an operand must be: a tensor of a form, or one object
NO_HISTORY, LEAF, ANY_HISTORY, COMPUTED = range(
    4
)  # what a tensor's node must be: none, a leaf's, whatever, another one
NONE, ONE, MANY = range(3)  # what a replay returns


@dataclass(frozen=True)
class Bits:
    """A word that is expected where others are pointers to objects."""

    value: int


@dataclass
class Tables:
    """What a replay does. Numbers called `base` are places in `bases`; offsets are in bytes.

    operands: (TENSOR, form, history, bytes of an element, base, type) or (SAME, object)
    apart:    (operand, other operand or -1, object) their storages differ (with -1: from that object)
    together: (operand, other operand, bytes, bytes of an element of each) they share their storage, the other lies so far on
    slots:    (address, object or Bits): the word at the address points to that object, or is that one
    entries:  (dictionary, key, object): it has this entry (NOTHING: it has none)
    items:    (list, place, object): there it has this item; (list, dictionary or set, -1, number): so many it has
    storages: (capsule, base)
    gradients: (object whose gradient it is, form, bytes of an element, base)
    blocks:   (bytes, base, object whose old gradient may give its memory or 0, form): new memory that outlives the call
    patches:  for each base the (address of a word, offset) that depend on it
    undo:     (base, offset, bytes, offset in the arena): what to put back if a launch fails
    launches: (kernel, address of its words)
    results:  (block, form, offset in elements, node or None) a new object over a block; one for each block
    leaves:   (object whose gradient is set, result or -1 for None)
    bumps:    (object, by how much its version grows)
    asked:    the modes that must be as they are when the tables are made
    returns:  NONE, or ONE result, or MANY: the tuple of the first so many results
    """

    operands: list[tuple] = field(default_factory=list)
    apart: list[tuple] = field(default_factory=list)
    together: list[tuple] = field(default_factory=list)
    slots: list[tuple] = field(default_factory=list)
    entries: list[tuple] = field(default_factory=list)
    items: list[tuple] = field(default_factory=list)
    storages: list[tuple] = field(default_factory=list)
    gradients: list[tuple] = field(default_factory=list)
    blocks: list[tuple] = field(default_factory=list)
    patches: list[list[tuple[int, int]]] = field(default_factory=list)
    undo: list[tuple] = field(default_factory=list)
    launches: list[tuple[int, int]] = field(default_factory=list)
    results: list[tuple] = field(default_factory=list)
    leaves: list[tuple] = field(default_factory=list)
    bumps: list[tuple] = field(default_factory=list)
    arena: int = 0
    arena_base: int = 0
    work: int = 0
    returned: int = 0
    returns: int = NONE
    asked: int = ASKED_USUALLY
    keeps: list[Any] = field(default_factory=list)
    """Whatever the words point to."""
    expected: dict[tuple[str, int], Any] = field(default_factory=dict)
    """What rows expect since the tables were made."""
    words: dict[str, Any] = field(default_factory=dict)
    """The rows of each table as words, once there is a replay."""

    def expect(self, table: str, row: int, x: Any) -> None:
        """From now on a row of `slots`, `entries` or `items` expects this object."""
        self.words[table][(row + 1) * WORDS[table] - 1] = _expected(x)
        self.expected[table, row] = x


def block_of(tables: Tables) -> Any:
    """The tables as words, each behind the other; the head says where they begin."""
    rows: dict[str, list[int]] = {}
    for name in TABLES:
        if name == "bases":
            continue
        rows[name] = []
        for row in getattr(tables, name):
            objects = _objects(name, row)
            rows[name] += [_word(x, tables, i not in objects) for i, x in enumerate(row)] + [0] * (
                WORDS[name] - len(row)
            )
    patches = [_array([w for patch in each for w in patch]) for each in tables.patches]
    tables.keeps += patches
    rows["bases"] = [
        w for each, array in zip(tables.patches, patches) for w in (0, ctypes.addressof(array), len(each), 0)
    ]
    arrays = {name: _array(rows[name]) for name in TABLES}
    tables.words = arrays
    head = [
        0,
        tables.arena,
        tables.arena_base,
        tables.work,
        tables.returns,
        tables.returned,
        tables.asked,
        modes.now() & tables.asked,
    ]
    for name in TABLES:
        head += [len(rows[name]) // WORDS[name], ctypes.addressof(arrays[name])]
    return _array(head)


def _objects(table: str, row: tuple) -> tuple[int, ...]:
    """The places in a row whose int would be an object of Python, not a number."""
    if table == "operands":
        return (1,) if row[0] == SAME else ()
    if table == "items":
        return (2,) if row[1] >= 0 else ()
    return {"slots": (1,), "entries": (0, 1, 2)}.get(table, ())


def _array(words: Sequence[int]) -> Any:
    return (ctypes.c_int64 * max(len(words), 1))(*words)


def _word(x: Any, tables: Tables, number: bool) -> int:
    """A number, or the address of an object, which is kept alive."""
    if number and type(x) is int:
        return x
    tables.keeps.append(x)
    return _expected(x)


def _expected(x: Any) -> int:
    return 0 if x is NOTHING else x.value if type(x) is Bits else id(x)
