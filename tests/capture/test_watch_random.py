"""Random programs over some state: without effects they change nothing, and while the guards hold they give the same again."""

import copy
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mashal.capture.watch import Watch


class Thing:
    shared = 3

    def __init__(self, a, b):
        self.a, self.b = a, b

    def sum(self):
        return self.a + self.shared

    @property
    def product(self):
        return self.a * self.b

    def grow(self, by):
        self.a += by
        return self.a


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


def fresh():
    """The state: what programs read and change."""
    thing = Thing(1, 2)
    thing.inner = Thing(3, 4)
    thing.parts = [Thing(5, 6), Thing(7, 8)]
    thing.table = {"x": 1, "y": {"z": 2}}
    return {
        "G": 5,
        "T": thing,
        "S": Slotted(1, 2),
        "D": {"k": 1, "l": [1, 2]},
        "L": [1, 2, 3],
        "U": {1, 2},
        "Thing": Thing,
    }


READS = """G | T.a | T.inner.b | T.shared | T.sum() | T.product | T.parts[0].a | T.parts[i % 2].b | S.a | D["k"]
D["l"][0] | L[0] | L[i % 3] | len(L) | sum(L) | sum(p.a for p in T.parts) | [q.b for q in T.parts][1] | max(U)
T.table["y"]["z"] | D.get("k", 0) | getattr(T, "a") | len(D) | hasattr(T, "c") * 1 | (1 in U) * 1 | helper(T) | closed
[*L][1] | sorted(D)[0].count("k") | T.__class__.shared | next(iter(L)) | sum(T.table["y"].values()) | local.a
local.table["x"] | made[0] | vars(T)["b"] | helper(T.inner) | read_both(S) | min(L[1:]) | type(T).shared"""
CHANGES = """T.a = V | T.inner.a += V | D["k"] = V | D["l"].append(V) | L[0] = V | L.append(V) | global_set(V) | S.b = V | U.add(V)
T.grow(V) | setattr(T, "a", V) | del D["k"] | T.parts[0].b = V | Thing.shared = V | L.sort() | D.update(k=V) | T.new = V
D.setdefault("n", V) | alias += [V] | vars(T)["a"] = V | T.table["y"]["z"] = V | T.parts.reverse() | alias.append(V)
local.a = V | made.append(V) | fresh_one.grow(V) | named["n"] = V | other.b = V"""
SILENT = ("local.a = V", "made.append(V)", "fresh_one.grow(V)", 'named["n"] = V')
reads = [text.strip() for line in READS.splitlines() for text in line.split(" | ")]
changes = [text.strip() for line in CHANGES.splitlines() for text in line.split(" | ")]

HELPERS = """
def helper(thing):
    return thing.a * 2 + G

def read_both(thing):
    return thing.a + thing.b

def global_set(value):
    global G
    G = value

def outer():
    closed = [7]
    closed = 7
    def function(i):
        local = Thing(1, 2)
        local.table = {"x": 9}
        made = [4]
        fresh_one = Thing(0, 0)
        named = {}
        alias = D["l"]
        other = T.parts[1]
        y = 0
%s
        return y
    return function
"""


def program(seed):
    choose = random.Random(seed)
    lines = []
    for _ in range(choose.randint(1, 6)):
        kind = choose.random()
        indent = "        "
        if kind < 0.15:
            lines.append(f"{indent}if ({choose.choice(reads)}) % 2:")
            indent += "    "
        elif kind < 0.25:
            lines.append(f"{indent}for i in range(2):")
            indent += "    "
        if choose.random() < 0.25:
            lines.append(indent + choose.choice(changes).replace("V", f"(y + {choose.randint(0, 3)})"))
        else:
            lines.append(f"{indent}y = y * 3 + {choose.choice(reads)}")
    return HELPERS % "\n".join(lines), lines


def frozen(state):
    """What a state holds, as plain data."""

    def plain(x):
        if isinstance(x, (Thing, Slotted)):
            return {name: plain(getattr(x, name)) for name in (vars(x) if isinstance(x, Thing) else ("a", "b"))}
        if isinstance(x, dict):
            return {key: plain(value) for key, value in x.items()}
        return [plain(value) for value in x] if isinstance(x, list) else copy.copy(x)

    names = ("G", "T", "S", "D", "L", "U")
    return {name: plain(state[name]) for name in names} | {"shared": Thing.shared}


def disturb(state, choose):
    """Changes something of the state, or nothing."""
    ways = [
        "pass", "G = 6", "T.a = 9", "T.inner.b = 9", "T.parts.append(Thing(1, 1))", "T.parts[1].b = 0", "T.shared = 8",
        "L.append(0)", "L[0] = 7", "del D['k']", "D['l'].insert(0, 5)", "S.a = 4", "U.add(9)", "T.table['y']['z'] = 5",
        "T.c = 1", "D = {'k': 1, 'l': [1, 2]}", "T.table['w'] = 1", "Thing.shared = 4", "T.table['y'] = {'z': 2}",
    ]  # fmt: skip
    exec(choose.choice(ways), state)


def result(function):
    try:
        return function(1)
    except Exception as error:
        return type(error)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_guards_and_effects_of_random_programs_are_enough(seed):
    source, lines = program(seed)
    state = fresh()
    try:
        exec(source, state)
        function = state["outer"]()
    except SyntaxError:
        return
    before = frozen(state)
    watch = Watch(function)
    with watch:
        first = result(function)
    if watch.effects:
        Thing.shared = 3
        return
    assert frozen(state) == before, "\n".join(lines)
    disturb(state, random.Random(seed))
    if all(guard.holds() for guard in watch.guards):
        again = result(function)
        Thing.shared = 3
        assert again == first, "\n".join([*lines, *(g.what for g in watch.guards)])
    Thing.shared = 3


def test_programs_that_change_only_what_they_made_have_no_effects():
    for change in SILENT:
        state = fresh()
        exec(HELPERS % f"        {change.replace('V', '1')}", state)
        function = state["outer"]()
        watch = Watch(function)
        with watch:
            function(1)
        assert [e.what for e in watch.effects] == [], change
