"""What is seen at the places of a program that read or change something: guards, and changes.

`Sightings` collects both while a program runs, and says at the end which changes were of things that were there
before: the young generation of the garbage collector, emptied before and not collected since, is exactly what was made
meanwhile. The collector does not know dictionaries of plain values; of them those count as new that were seen being made.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterable
from operator import attrgetter, itemgetter
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from mashal.capture.bytecode import Site
from mashal.capture.contents import LARGEST, content_guards, is_whole, object_guards
from mashal.capture.definitions import ModuleGuard, class_guards, function_guards, is_of_program
from mashal.capture.effects import Effect, Mutation, Unrepeatable, changes, of_builtin
from mashal.capture.frames import Lines, is_library
from mashal.capture.guards import (
    ABSENT,
    CONTENTS,
    LENGTH,
    UNKNOWN,
    Guard,
    candidates,
    evaluate,
    item_of,
    look_up,
    place_of,
)
from mashal.capture.modules import is_module, of_module
from mashal.capture.places import Place, place_to_set
from mashal.capture.sites import reads_of_first, shown
from mashal.core.interop import is_array
from mashal.core.shapes import Size
from mashal.core.tape import mode
from mashal.core.tensor import Tensor
from mashal.machine.observing import watch

__all__ = ["Sightings"]

_REPORTED = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, MethodWrapperType)  # to profilers
_INSIDE = {"__dict__", "vars"}  # the dictionary of an old object may be new
_NUMBERS = (int, float, bool, str, tuple, Size, type(None))  # known by their value
_PICKING = ("get", "index", "count", "pop", "setdefault")
_OF_FIRST_ARGUMENT = (next, setattr, delattr, object.__setattr__, object.__delattr__)


class Sightings:
    """What a program was seen reading and changing.

    function: what was called. lines_above: the program's lines that led to a frame. rehearsed: whether the program is stopped
    (`Unrepeatable`) before it has an effect; strict: before one that is no change of an object.
    """

    def __init__(
        self, function: Any, lines_above: Callable[[FrameType], Lines], rehearsed: bool = False, strict: bool = False
    ) -> None:
        self.function, self.rehearsed, self.strict = function, rehearsed, strict
        self.lines_above = lines_above
        self.found: dict[tuple[int, Any], tuple[Guard, Any]] = {}  # with the object whose dictionary the holder is
        self.changes: list[Effect | Mutation] = []
        self.before: dict[tuple[int, Any], Guard] = {}  # of places that were written: what was there
        self.made: dict[int, Any] = {}
        self.young: set[int] = set()  # in the end: what the collector has met since the beginning
        self.mode = _mode()
        self.switches: list[Effect] = []
        self.pending: dict[FrameType, str] = {}
        self.closures: dict[FrameType, FunctionType | None] = {}
        self.called: dict[CodeType, dict[FunctionType, None]] = {}  # closures that were about to be called
        self.classes: dict[type, None] = {}  # whose methods ran, or whose attributes were read
        self.objects: dict[int, Any] = {}  # of these classes
        self.functions: dict[int, Any] = {}  # that were called
        self.names: dict[
            int, tuple[ModuleType, dict[str, Any]]
        ] = {}  # what was read in modules that are not the program's
        self.picked: list[Any] = []  # in a rehearsal: the keys by which things were taken out of others

    def conclude(self) -> tuple[list[Guard], list[Effect]]:
        """The guards and the effects. What was made since the beginning is nobody's business."""
        young = self.young = {id(thing) for thing in gc.get_objects(generation=0)}
        changed: set[int] = set()
        effects: list[Effect] = []
        places: dict[tuple[int, Any], Place | None] = {}
        for change in self.changes + (self.switches if _mode() != self.mode else []):
            if isinstance(change, Mutation):
                if id(change.changed) in (young if change.tracked else self.made):
                    continue
                if change.before is not None and change.before.holds():
                    if isinstance(change.changed, Tensor):
                        continue
                    self.found.setdefault(_place(change.before), (change.before, change.changed))
                    continue
                place = places.setdefault(_place(change.before), self._place_of(change)) if change.before else None
                if place is None:
                    changed.add(id(change.changed))
                change = Effect(change.frame_lines, change.what, change.settles, place)
            if change not in effects:
                effects.append(change)
        old = [guard for guard, owner in self.found.values() if id(owner) not in young and id(owner) not in self.made]
        return [
            guard for guard in old if not (type(guard.holder) in (list, dict, set) and id(guard.holder) in changed)
        ], effects

    def _place_of(self, change: Mutation) -> Place | None:
        """The one place that was set, if nobody has looked at all that stands beside it, or counted it. (Layers always count.)"""
        before = change.before
        if before is None or (id(before.holder), CONTENTS) in self.found:
            return None
        counted = (id(before.holder), LENGTH) in self.found and not of_module(before.holder)
        if counted and before.expected is ABSENT:
            return None
        return place_to_set(before, change.changed, _place(before) in self.found)

    def put_back(self) -> None:
        """After a rehearsal: the places that were set are as they were."""
        for change in self.changes:
            place = self._place_of(change) if isinstance(change, Mutation) else None
            if place is not None:
                place.put_back()

    def definitions(self, codes: Iterable[CodeType]) -> list[Any]:
        """Guards for what the program is made of: functions, classes, and which class an object is of."""
        new = self.young | {*self.made}
        old = [x for x in self.objects.values() if id(x) not in new and is_of_program(type(x))]
        kinds = [Guard(x, "__class__", type(x), f"the class of a {type(x).__name__}") for x in old]
        met = [self.function, *self.functions.values(), *self.classes]
        modules = [ModuleGuard(module, names) for module, names in self.names.values()]
        return [*function_guards(codes, met, new), *class_guards(self.classes, codes, new), *kinds, *modules]

    # ---------------------------------------------------------------- noting
    def meet(self, thing: Any) -> None:
        """A function is called with this as its first argument, or an attribute of it is read."""
        if isinstance(thing, type):
            self.classes[thing] = None
        elif not isinstance(thing, (Tensor, FunctionType, dict, list, CellType)) and thing is not UNKNOWN:
            self.classes[type(thing)] = None
            self.objects[id(thing)] = thing

    def mutation(self, frame: FrameType, what: str, changed: Any, before: Guard | None = None) -> None:
        """An object, or what cannot be found out, is changed; in one place only if it is known what was there before."""
        if self.rehearsed and place_to_set(before, changed, False) is None and not self._is_new(changed):
            self.effect(frame, what)
        if before is not None:
            before = self.before.setdefault(_place(before), before)
        lines = self.lines_above(frame)
        if changed is UNKNOWN or (type(changed) is dict and _INSIDE & {*frame.f_code.co_names}):
            self.changes.append(Effect(lines, what))
        else:
            entries = len(changed) if type(changed) is dict else None
            self.changes.append(Mutation(lines, what, changed, gc.is_tracked(changed), before, entries))

    def effect(self, frame: FrameType, what: str) -> None:
        """Something happens that no replay repeats."""
        self.changes.append(Effect(self.lines_above(frame), what))
        if self.rehearsed or self.strict:
            raise Unrepeatable(what)

    def _is_new(self, thing: Any) -> bool:
        """Whether a thing was made since the beginning."""
        if gc.is_tracked(thing):
            return any(made is thing for made in gc.get_objects(generation=0))
        return id(thing) in self.made

    def switch(self, frame: FrameType) -> None:
        """Recording for backward is switched; no effect if in the end it is what it was, as after a with statement."""
        self.switches.append(Effect(self.lines_above(frame), type(frame.f_locals.get("self")).__name__))

    def new(self, made: Any) -> None:
        """An object was made."""
        self.made[id(made)] = made

    def guard(self, guard: Guard, owner: Any) -> None:
        """Something was read, unless the program wrote it before."""
        if _place(guard) not in self.before:
            self.meet(guard.expected)
            self.found.setdefault(_place(guard), (guard, owner))

    def read_layer(self, frame: FrameType) -> None:
        """All that a layer's function may read of its module."""
        for site in reads_of_first(frame.f_code):
            self.read(frame, site)

    def by_mashal(self, frame: FrameType) -> None:
        """A function of mashal changes its first argument, unless that is already what it is asked to be."""
        name, locals_ = frame.f_code.co_name, frame.f_locals
        thing: Any = locals_.get(frame.f_code.co_varnames[0])
        if name in ("train", "eval") and hasattr(thing, "modules"):
            asked = locals_.get("mode", False)
            if all(vars(module).get("training") is asked for module in thing.modules()):
                for module in thing.modules():
                    self.guard(Guard(vars(module), "training", asked, f"the mode of a {type(module).__name__}"), module)
                return
            for module in thing.modules():
                place = place_of(module, "training", "attribute", f"the mode of a {type(module).__name__}")
                self.mutation(frame, f"{type(module).__name__}.{name}()", module, place)
            return
        if name == "requires_grad_":
            tensors = list(thing.parameters()) if hasattr(thing, "parameters") else [thing]
            return self.wants_gradients(frame, tensors, f"{type(thing).__name__}.{name}()")
        self.mutation(frame, f"{type(thing).__name__}.{name}()", thing)

    def wants_gradients(self, frame: FrameType, tensors: Iterable[Tensor], what: str) -> None:
        """It is set whether tensors want gradients; what they did before is a guard of the recorder's."""
        for x in tensors:
            if watch.recorder is not None:
                watch.recorder.touch(x)
            self.mutation(
                frame, what, x, Guard(x, "requires_grad", x.requires_grad, "whether a tensor wants a gradient")
            )

    def settle(self, frame: FrameType) -> None:
        """What `keep` announced is there now."""
        name = self.pending.pop(frame, None)
        if name is not None:
            self.new(frame.f_locals.get(name))

    # ---------------------------------------------------------------- sites
    def visit(self, frame: FrameType, site: Site) -> None:
        """What happens at a site, just before it does."""
        try:
            getattr(self, site.kind)(frame, site)
        except Exception as error:  # an object that cannot be looked at must not break the program that uses it
            self.effect(frame, f"{shown(site.expression)} cannot be looked at ({type(error).__name__})")

    def read(self, frame: FrameType, site: Site) -> None:
        """A global, a cell, an attribute or an item is read: it becomes a guard."""
        kind, of = site.expression[:2]
        if kind in ("global", "cell"):
            self.read_variable(frame, site, kind, of)
        else:
            for owner in candidates(of, frame):
                self.read_part(frame, site, owner)

    def read_variable(self, frame: FrameType, site: Site, kind: str, name: str) -> None:
        """A global or a cell; a name of Python's own is no guard."""
        holder: Any = frame.f_globals if kind == "global" else self.cell(frame, name)
        value = evaluate(site.expression, frame)
        if holder is None or value is UNKNOWN or (kind == "global" and name not in holder):
            return
        words = f"global `{name}`" if kind == "global" else f"`{name}`, which is closed over"
        self.guard(Guard(holder, name if kind == "global" else None, value, words), holder)
        if value is not frame.f_globals:
            self.read_content(frame, site.whole, value, words)

    def read_part(self, frame: FrameType, site: Site, owner: Any) -> None:
        """An attribute or an item of an object. That an object has none of its own, but its class has, is a guard, too."""
        kind, _, key = site.expression
        key = key if kind == "attribute" else evaluate(key, frame)
        words = f"`{shown(site.expression)}`"
        self.meet(owner)
        holder, value = look_up(owner, key) if kind == "attribute" else item_of(owner, key)
        if kind == "attribute" and holder is None and isinstance(owner, ModuleType):
            self.names.setdefault(id(owner), (owner, {}))[1][key] = value
        if watch.recorder is not None and id(holder) in watch.recorder.moved:
            return self.effect(frame, f"{words} is read, after a schedule's step")
        shadowable = isinstance(value, MethodType) and not is_module(owner) and not isinstance(owner, (type, Tensor))
        if kind == "attribute" and (value is UNKNOWN or holder is not None or shadowable):
            own = place_of(owner, key, kind, words)
            if own is not None and own.expected is ABSENT:
                self.guard(own, owner)
        if value is not UNKNOWN and holder is not None:
            there = holder.get(key, value) if type(holder) is dict else value  # a function, where a method was found
            self.guard(Guard(holder, key, there, words), owner)
        self.read_content(frame, site.whole or is_whole(value), value, words)
        if kind == "item" and value is UNKNOWN:  # it may be any of them
            of = shown(site.expression[1])
            self.read_content(frame, True, owner, of)
            self.read_object(frame, owner, of)

    def read_content(self, frame: FrameType, whole: bool, value: Any, words: str) -> None:
        """A container that is looked at as a whole."""
        if not whole:
            return
        if is_array(value) and value.nbytes > LARGEST:
            return self.effect(frame, f"reading the large array {words}")
        for guard in content_guards(value, words):
            self.guard(guard, guard.holder)

    def read_object(self, frame: FrameType, value: Any, words: str) -> None:
        """An object is handed to code that is not watched, which may read all of it."""
        for guard in object_guards(value, words):
            self.guard(guard, value)

    def pick(self, frame: FrameType, site: Site) -> None:
        """An item is taken by a key that is computed: in a rehearsal, what the key is."""
        if self.rehearsed:
            self.pick_by(site.expression, site.detail, frame)

    def pick_by(self, of: Any, key: Any, frame: FrameType) -> None:
        """Notes a key. A tensor's items are kernels' business; what cannot be seen is taken for a tensor if its key isn't an int."""
        owner, key = evaluate(of, frame), evaluate(key, frame)
        if owner is UNKNOWN and of is not None and of[0] == "new":
            owner = of
        if isinstance(owner, (Tensor, Size)) or is_module(owner) or (owner is UNKNOWN and type(key) is not int):
            return
        if key is not UNKNOWN or not self._is_new(owner):
            self.picked.append(object() if key is UNKNOWN else repr(key))

    def truth(self, frame: FrameType, site: Site) -> None:
        """A branch: in a rehearsal, on which number."""
        value = _value(site.expression, frame) if self.rehearsed else UNKNOWN
        if type(value) is int:
            self.picked.append(value)

    def uneven(self, frame: FrameType, site: Site) -> None:
        """Something is done with numbers that does not change at thresholds only: in a rehearsal, what the numbers are."""
        if self.rehearsed:
            values = [_value(x, frame) for x in (site.expression, site.detail)]
            if not any(isinstance(x, Tensor) for x in values):
                self.picked += [object() if x is UNKNOWN else repr(x) if type(x) in _NUMBERS else id(x) for x in values]

    def cell(self, frame: FrameType, name: str) -> CellType | None:
        """The cell of a free variable; None where the frame's function isn't found."""
        if name == "__class__":
            return None
        if frame not in self.closures:
            near = [self.function, *self.called.get(frame.f_code, ())]
            self.closures[frame] = _function_of(frame, near) or _function_of(frame, gc.get_referrers(frame.f_code))
        function = self.closures[frame]
        return None if function is None else (function.__closure__ or ())[frame.f_code.co_freevars.index(name)]

    def store(self, frame: FrameType, site: Site) -> None:
        """An attribute or an item is set or deleted."""
        way, name, deleted = site.detail
        what = shown(("attribute", site.expression, name)) if way == "attribute" else f"{shown(site.expression)}[…]"
        changed = evaluate(site.expression, frame)
        if isinstance(changed, Tensor) and (way == "item" or name in ("grad", "data")):
            return
        if isinstance(changed, Tensor) and name == "requires_grad":
            return self.wants_gradients(frame, [changed], f"{what} = …")
        if isinstance(changed, Tensor) and not hasattr(type(changed), name):
            return self.effect(frame, f"{what} = …")
        key = name if way == "attribute" else evaluate(name, frame)
        known = changed is not UNKNOWN and key is not UNKNOWN
        before = place_of(changed, key, way, f"`{what}`") if known else None
        self.mutation(frame, f"{'del ' * deleted}{what}{'' if deleted else ' = …'}", changed, before)

    def rebind(self, frame: FrameType, site: Site) -> None:
        """A global or a cell of an outer function gets another value."""
        kind, name = site.expression
        if kind == "global":
            held = frame.f_globals
            before = Guard(held, name, held.get(name, ABSENT), f"global `{name}`")
            return self.mutation(frame, f"global {name} = …", held, before)
        cell = self.cell(frame, name)
        if cell is None:
            return self.mutation(frame, f"nonlocal {name} = …", UNKNOWN)
        before = Guard(cell, None, evaluate(site.expression, frame), f"`{name}`, which is closed over")
        self.mutation(frame, f"nonlocal {name} = …", cell, before)

    def inplace(self, frame: FrameType, site: Site) -> None:
        """`x += y` with x a list or the like changes the list itself."""
        changed = evaluate(site.expression, frame)
        if hasattr(type(changed), "__iadd__") and not isinstance(changed, Tensor):
            self.mutation(frame, f"{shown(site.expression)} += …", changed)

    def iterate(self, frame: FrameType, site: Site) -> None:
        """A loop over an iterator uses it up, and so does a builtin that gets it."""
        value = evaluate(site.expression, frame)
        if value is not UNKNOWN and hasattr(type(value), "__next__"):
            self.mutation(frame, f"{shown(site.expression)} is an iterator, and used up", value)

    def call(self, frame: FrameType, site: Site) -> None:
        """A call whose function is no builtin, or a builtin whose argument matters."""
        _, callee, arguments = site.expression
        function = evaluate(callee, frame)
        self.hand_over(frame, function, arguments)
        while isinstance(function, functools.partial):
            for name, value in function.keywords.items():
                self.guard(Guard(function.keywords, name, value, f"`{name}` of a partial"), function)
            function = function.func
        plain = getattr(function, "__func__", function)
        if isinstance(plain, FunctionType):
            self.functions[id(plain)] = plain
        if isinstance(plain, FunctionType) and plain.__closure__:
            self.called.setdefault(plain.__code__, {})[plain] = None
        if isinstance(plain, FunctionType) or isinstance(
            getattr(type(function), "__call__", None),  # noqa: B004
            FunctionType,
        ):
            return
        if self.rehearsed and arguments and callee is not None and callee[0] == "attribute" and callee[2] in _PICKING:
            self.pick_by(callee[1], arguments[0], frame)
        if function in (getattr, hasattr) and len(arguments) > 1:
            name = evaluate(arguments[1], frame)
            if arguments[0] is not None and isinstance(name, str):
                self.read(frame, Site("read", ("attribute", arguments[0], name)))
        if any(function is f for f in _OF_FIRST_ARGUMENT) and arguments:
            return self.change_by(frame, function, *arguments[:2])
        for argument in arguments:
            self.iterate(frame, Site("iterate", argument))
        if isinstance(function, MethodWrapperType) and changes(function) is not None:
            self.mutation(frame, f"{shown(callee)}()", changes(function))
        elif function is not UNKNOWN and not isinstance(function, (type, *_REPORTED)):
            what = of_builtin(function)
            if what is not None:
                self.effect(frame, what)

    def hand_over(self, frame: FrameType, function: Any, arguments: tuple) -> None:
        """A function of the library may read all of what it is given; a getter reads what it is for."""
        for key in function.__reduce__()[1] if isinstance(function, (attrgetter, itemgetter)) else ():
            if isinstance(function, itemgetter):
                self.read(frame, Site("read", ("item", arguments[0], ("constant", key))))
                continue
            read = arguments[0]
            for name in key.split("."):
                read = ("attribute", read, name)
                self.read(frame, Site("read", read))
        if is_library(getattr(function, "__func__", function)):
            given = [(evaluate(argument, frame), shown(argument)) for argument in arguments]
            for value, words in [(getattr(function, "__self__", None), "self"), *given]:
                self.read_object(frame, value, words)

    def variable(self, frame: FrameType, function: Any) -> None:
        """A method of a context variable is called."""
        now = Guard(function.__self__, CONTENTS, ABSENT, f"the context variable {function.__self__.name}")
        now = Guard(now.holder, now.key, now.found(), now.what)
        if function.__name__ == "get":
            self.guard(now, now.holder)
        else:
            self.mutation(frame, f"{function.__self__.name}.{function.__name__}()", now.holder, now)

    def environment(self, frame: FrameType) -> None:
        """os.environ looks for a variable."""
        of, name = frame.f_locals["self"], frame.f_locals["key"]
        held, key = vars(of)["_data"], of.encodekey(name)
        self.guard(Guard(held, key, held.get(key, ABSENT), f"the environment's {name}"), held)

    def change_by(self, frame: FrameType, function: Any, argument: Any, name: Any = None) -> None:
        changed = evaluate(argument, frame)
        if function is next:
            if changed is UNKNOWN and argument is not None and argument[0] == "call":
                if evaluate(argument[1], frame) is not iter or not argument[2]:
                    return
                of = argument[2][0]
                changed = evaluate(of, frame)
                if (of is not None and of[0] == "call") or not hasattr(type(changed), "__next__"):
                    return
            self.mutation(frame, f"next({shown(argument)})", changed)
        elif not isinstance(changed, Tensor) or evaluate(name, frame) not in ("grad", "data"):
            self.mutation(frame, f"{function.__name__}({shown(argument)}, …)", changed)

    def keep(self, frame: FrameType, site: Site) -> None:
        """A new container becomes a local: noted at the next instruction, when it is there."""
        if site.expression[0] == "new" or evaluate(site.expression[1], frame) in (dict, list, set):
            self.pending[frame] = site.detail


def _value(expression: Any, frame: FrameType) -> Any:
    """What an expression is, also where it is a tensor's or a container's size."""
    match expression:
        case ("call", ("global", "len"), (of,)):
            thing = evaluate(of, frame)
            return len(thing) if isinstance(thing, (Tensor, list, tuple, dict, str)) else UNKNOWN
        case ("call", ("attribute", of, "dim" | "ndimension"), ()):
            thing = evaluate(of, frame)
            return thing.ndim if isinstance(thing, Tensor) else UNKNOWN
        case ("call", ("attribute", of, "size"), (key,)):
            thing, key = evaluate(of, frame), evaluate(key, frame)
            return thing.shape[key] if isinstance(thing, Tensor) and type(key) is int else UNKNOWN
        case ("item", of, _) if isinstance(thing := evaluate(of, frame), Tensor):
            return thing  # a part of a tensor is one
    return evaluate(expression, frame)


def _mode() -> tuple[bool, bool]:
    return mode.recording, mode.inference


def _place(guard: Guard) -> tuple[int, Any]:
    return id(guard.holder), guard.key


def _function_of(frame: FrameType, candidates: Iterable[Any]) -> FunctionType | None:
    """The function that runs in a frame, if it is among these."""
    functions = (f for f in candidates if isinstance(f, FunctionType) and f.__code__ is frame.f_code)
    return next((f for f in functions if _fits(f, frame)), None)


def _fits(function: FunctionType, frame: FrameType) -> bool:
    """Whether a function's cells hold what a frame of its code sees."""
    seen = frame.f_locals
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            if seen.get(name, ABSENT) is not cell.cell_contents:
                return False
        except ValueError:
            if name in seen:
                return False
    return True
