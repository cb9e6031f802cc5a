"""What `Watch` says of a program: what it read, what it did besides computing, and where."""

import collections
import contextlib
import functools
import io
import itertools
import math
import operator
import random
import sys
import time

import numpy as np
import pytest

import mashal as torch
from mashal.capture.guards import ABSENT, Guard, same
from mashal.capture.watch import Watch

SCALE = 2.0
NAMES = ["a", "b"]
SETTINGS = {"size": 3, "depth": 2}
HISTORY = []
COUNTED = 0
KNOWN = {}
STREAM = iter(range(1000))


class Config:
    heads = 4

    def __init__(self, size=8):
        self.size = size


class Slotted:
    __slots__ = ("size",)

    def __init__(self):
        self.size = 1


CONFIG = Config()
SLOTTED = Slotted()


def watched(function, *arguments):
    watch = Watch(function)
    with watch:
        function(*arguments)
    return watch


def reads(function, *arguments):
    return {guard.what for guard in watched(function, *arguments).guards}


def effects(function, *arguments):
    return [effect.what for effect in watched(function, *arguments).effects]


@pytest.fixture
def x():
    return torch.ones(3)


# ---------------------------------------------------------------- guards
def test_a_global_that_was_read_is_a_guard(x):
    [guard] = watched(lambda x: x * SCALE, x).guards
    assert (guard.holder, guard.key, guard.expected) == (globals(), "SCALE", 2.0)


def test_a_global_that_was_not_read_is_none(x):
    assert reads(lambda x: x * (2 if True else SCALE), x) == set()


def test_builtins_are_no_guards(x):
    assert reads(lambda x: x * len("ab"), x) == set()


def test_what_is_closed_over_is_a_guard_on_its_cell(x):
    factor = 3.0
    function = lambda x: x * factor
    [guard] = watched(function, x).guards
    assert guard.holder is function.__closure__[0]
    assert (guard.key, guard.expected) == (None, 3.0)


def test_what_a_called_closure_closes_over_is_a_guard(x):
    def scaled(factor):
        return lambda x: x * factor

    inner = scaled(5.0)
    assert "`factor`, which is closed over" in reads(lambda x: inner(x), x)


def test_attributes_are_guards_in_the_dictionary_of_their_object(x):
    [_, guard] = watched(lambda x: x * CONFIG.size, x).guards
    assert (guard.holder, guard.key, guard.expected) == (vars(CONFIG), "size", 8)


def test_attributes_of_self_are_guards(x):
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = 2.0

        def forward(self, x):
            return x * self.scale

    module = Scaled()
    found = {guard.what: guard for guard in watched(module, x).guards}
    assert found["`self.scale`"].holder is vars(module)


def test_class_attributes_are_guards_and_so_is_that_the_object_has_none(x):
    found = [g for g in watched(lambda x: x * CONFIG.heads, x).guards if g.key == "heads"]
    assert {g.expected for g in found} == {4, ABSENT}
    CONFIG.heads = 5
    try:
        assert not all(g.holds() for g in found)
    finally:
        del CONFIG.heads


def test_a_class_attribute_that_changes_breaks_its_guard(x, monkeypatch):
    found = watched(lambda x: x * Config.heads, x).guards
    assert all(g.holds() for g in found)
    monkeypatch.setattr(Config, "heads", 6)
    assert not all(g.holds() for g in found)


def test_slots_are_guards_on_their_object(x):
    guard = watched(lambda x: x * SLOTTED.size, x).guards[-1]
    assert (guard.holder, guard.key, guard.expected) == (SLOTTED, "size", 1)
    assert guard.holds()


def test_an_item_is_a_guard_on_that_item_alone(x):
    found = watched(lambda x: x * SETTINGS["size"], x).guards
    assert [(g.holder, g.key, g.expected) for g in found[1:]] == [(SETTINGS, "size", 3)]


def test_a_list_that_is_walked_through_is_guarded_whole(x):
    found = watched(lambda x: [x for name in NAMES], x).guards
    assert all(g.holds() for g in found)
    NAMES.append("c")
    try:
        assert not all(g.holds() for g in found)
    finally:
        NAMES.pop()


def test_attributes_of_a_loop_variable_are_guards(x):
    def function(x, parts):
        for part in parts:
            x = x * part.size
        return x

    found = watched(function, x, [Config(1), Config(2)]).guards
    assert sorted(g.expected for g in found if g.key == "size") == [1, 2]


def test_layers_of_mashal_guard_their_options_and_their_mode(x):
    dropout = torch.nn.Dropout(0.5)
    found = watched(lambda x: dropout(x), x).guards
    assert all(g.holds() for g in found)
    dropout.eval()
    assert [g.what for g in found if not g.holds()] == ["`self.training`"]


def test_a_layer_put_into_a_sequence_breaks_its_guards(x):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    found = watched(model, x).guards
    assert all(g.holds() for g in found)
    model.append(torch.nn.ReLU())
    assert not all(g.holds() for g in found)


def test_a_hook_breaks_the_guards_of_its_layer(x):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    found = watched(model, x).guards
    model[0].register_forward_hook(lambda *_: None)
    assert not all(g.holds() for g in found)


def test_what_getattr_finds_is_a_guard(x):
    assert "`CONFIG.size`" in reads(lambda x: x * getattr(CONFIG, "size"), x)  # noqa: B009


def test_what_hasattr_does_not_find_is_a_guard(x):
    found = watched(lambda x: x * hasattr(CONFIG, "other"), x).guards
    assert [g.expected for g in found if g.key == "other"] == [ABSENT]


def test_modules_that_are_imported_when_first_asked_for_break_no_guard(x):
    assert all(guard.holds() for guard in watched(lambda x: torch.linalg.norm(x), x).guards)


def test_what_is_set_to_what_it_was_is_a_guard(x):
    def function(x):
        CONFIG.size = 8

    assert [(g.holder, g.key, g.expected) for g in watched(function, x).guards[1:]] == [(vars(CONFIG), "size", 8)]


def test_a_mode_that_is_set_again_is_a_guard(x):
    found = watched(lambda x: LAYER.train(), x).guards
    assert "the mode of a Linear" in {g.what for g in found}


def test_properties_are_not_called_by_the_watch(x):
    calls = []

    class Counting:
        @property
        def size(self):
            calls.append(1)
            return 2

    counting = Counting()
    watched(lambda x: x * counting.size, x)
    assert calls == [1]


def test_what_was_made_in_the_call_is_no_guard(x):
    def function(x):
        made = Config(3)
        return x * made.size

    assert "`made.size`" not in reads(function, x)


def test_what_was_written_before_it_was_read_is_no_guard(x):
    def function(x):
        CONFIG.once = 1
        return x * CONFIG.once

    assert "`CONFIG.once`" not in reads(function, x)


@pytest.mark.parametrize("value", [7, 0.25, "text", (1, "a"), None, True])
def test_plain_values_hold_while_they_are_equal(value):
    holder = {"k": value}
    guard = Guard(holder, "k", value, "k")
    holder["k"] = eval(repr(value))
    assert guard.holds()


@pytest.mark.parametrize("other", [8, 7.0, True, "7", None, ABSENT])
def test_plain_values_do_not_hold_for_another_value_or_type(other):
    assert not Guard({"k": other}, "k", 7, "k").holds()


def test_nan_is_the_same_as_nan_and_zero_is_not_minus_zero():
    assert same(float("nan"), float("nan"))
    assert not same(0.0, -0.0)


def test_objects_hold_by_identity():
    assert not same([1], [1])


# ---------------------------------------------------------------- effects
def into_attribute(x):
    CONFIG.last = x


def into_dictionary(x):
    KNOWN["last"] = x


def into_list(x):
    HISTORY.append(x)


def into_global(x):
    global COUNTED
    COUNTED += 1


def into_list_in_place(x):
    history = HISTORY
    history += [x]


def into_alias(x):
    alias = HISTORY
    alias.extend([x])


def into_slot(x):
    SLOTTED.size = x


def by_setattr(x):
    setattr(CONFIG, "last", x)  # noqa: B010


def by_object_setattr(x):
    object.__setattr__(CONFIG, "last", x)


def by_dictionary(x):
    vars(CONFIG)["last"] = x


def by_update(x):
    CONFIG.__dict__.update(last=x)


def by_slice(x):
    HISTORY[:] = []


def printing(x):
    print("step")


def the_time(x):
    return time.time()


def drawing(x):
    return random.random()


def drawing_an_integer(x):
    return random.randint(0, 3)


def drawing_by_numpy(x):
    return np.random.rand()


def shuffling(x):
    return np.random.permutation(3)


def opening(x):
    with open(__file__) as file:
        return file.readline()


def next_of_old(x):
    return next(STREAM)


def loop_over_old(x):
    for _ in STREAM:
        break


def mode(x):
    MODEL.eval()


def seeding(x):
    torch.manual_seed(0)


def by_property(x):
    PROPERTY.value = 3


def into_class(x):
    Config.width = 4


def array(x):
    ARRAY[0] = 1


def array_method(x):
    ARRAY.fill(0)


class Counted:
    value = property(lambda self: self.values[-1], lambda self, value: self.values.append(value))

    def __init__(self):
        self.values = [3]


PROPERTY = Counted()
MODEL = torch.nn.Linear(3, 3)
LAYER = torch.nn.Linear(3, 3)
OPTIMIZER = torch.optim.SGD(LAYER.parameters(), lr=0.1)
ARRAY = np.zeros(3)


@pytest.mark.parametrize(
    "function",
    [into_attribute, into_dictionary, into_list, into_global, into_list_in_place, into_alias, by_setattr, by_object_setattr,
     by_dictionary, by_update, by_slice, printing, the_time, drawing, drawing_an_integer, drawing_by_numpy, shuffling,
     opening, next_of_old, loop_over_old, mode, seeding, into_slot, by_property, into_class, array, array_method],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_this_is_an_effect(function, x, capsys):
    assert effects(function, x)


CHANGES_OF_MASHAL = {
    "the dtype of a module": lambda x: MODEL.to(torch.float32),
    "a submodule": lambda x: MODEL.add_module("other", torch.nn.ReLU()),
    "a buffer": lambda x: MODEL.register_buffer("buffer", torch.ones(1)),
    "a hook": lambda x: MODEL.register_forward_hook(lambda *_: None).remove(),
    "a tensor's hook": lambda x: MODEL.weight.register_hook(lambda g: g).remove(),
    "what is trained": lambda x: x.requires_grad_(),
    "a state_dict": lambda x: MODEL.load_state_dict(MODEL.state_dict(), strict=False),
    "a parameter": lambda x: setattr(MODEL, "extra", torch.nn.Parameter(torch.ones(1))),
    "the default dtype": lambda x: torch.set_default_dtype(torch.float32),
    "the state of the generator": lambda x: torch.set_rng_state(torch.get_rng_state()),
    "a learning rate": lambda x: OPTIMIZER.param_groups[0].update(lr=x),
    "a learning rate, by item": lambda x: OPTIMIZER.param_groups[0].__setitem__("lr", x),
    "a file": lambda x: torch.save(x, io.BytesIO()),
    "a loader": lambda x: next(iter(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x)))),
}


@pytest.mark.parametrize("what", CHANGES_OF_MASHAL)
def test_what_mashal_changes_outside_tensors_is_an_effect(what, x):
    assert effects(CHANGES_OF_MASHAL[what], x)


def test_a_mode_that_is_left_switched_is_an_effect(x):
    with torch.enable_grad():
        assert effects(lambda x: torch.set_grad_enabled(False), x) == ["set_grad_enabled"]


def test_a_deletion_is_an_effect(x):
    known = {"gone": [1]}

    def function(x):
        del known["gone"]

    assert effects(function, x) == ["del known[…]"]


def test_a_cell_of_an_outer_function_that_changes_is_an_effect(x):
    count = 0

    def function(x):
        nonlocal count
        count += 1

    assert effects(function, x) == ["nonlocal count = …"]


def test_a_generator_that_was_begun_before_is_an_effect(x):
    def numbers():
        yield 1
        yield 2

    running = numbers()
    next(running)
    assert "generator numbers was begun before" in effects(lambda x: sum(running), x)


def test_a_generator_that_was_made_before_is_an_effect(x):
    running = (i for i in range(3))
    assert effects(lambda x: list(running), x)


def local_containers(x):
    parts = []
    for i in range(3):
        parts.append(x * i)
    named = {}
    named["x"] = x
    named["n"] = 1
    seen = set()
    seen.add(1)
    counted = dict(a=1)
    counted["b"] = 2
    squares = {i: i * i for i in range(3)}
    squares[7] = 49
    grouped = collections.defaultdict(list)
    grouped["a"].append(x)
    queue = collections.deque([1])
    queue.append(2)
    parts += [x]
    parts[0] = x
    del parts[1]
    return parts


def local_objects(x):
    made = Config(3)
    made.size += 1
    made.extra = {}
    made.parts = [x]
    made.parts.append(x)
    return made


def local_iterators(x):
    numbers = iter([1, 2, 3])
    a = next(numbers)
    for b in numbers:
        a += b
    return a, next(iter(MODEL.parameters())), next(MODEL.parameters())


def pure_builtins(x):
    names = [str(i) for i in range(3)]
    pairs = list(zip(names, range(3), strict=False))
    text = ",".join(sorted(names)) + f"{len(pairs)}"
    return (
        math.sqrt(2.0),
        isinstance(x, torch.Tensor),
        getattr(x, "shape", None),
        max(1, 2),
        text,
        [*itertools.chain([1], [2])],
    )


def local_exception(x):
    try:
        raise ValueError("local")
    except ValueError as error:
        return str(error)


def context_managers(x):
    with torch.set_grad_enabled(False):
        y = x * 2
    with torch.no_grad():
        return y * 2


def into_tensors(x):
    x[0] = 1
    x[1:] += 1
    x += 1
    MODEL.weight.grad = None
    return x


def a_training_step(x):
    loss = MODEL(x).square().mean()
    loss.backward()
    MODEL.zero_grad()
    return loss


def keyword_arguments(x, **options):
    options["a"] = 1
    options.setdefault("b", 2)
    return options


def own_cells(x):
    total = 0

    def add(y):
        nonlocal total
        total += y

    add(1)
    return total


def own_class(x):
    class Local:
        size = 3

        def __init__(self):
            self.x = x

    return Local().x


def own_generator(x):
    def numbers():
        for i in range(3):
            kept = []
            kept.append(i)
            yield i

    return sum(numbers())


def arrays(x):
    return np.triu(np.ones((3, 3)))


def callable_objects(x):
    return MODEL(x), operator.itemgetter(0)([1]), functools.partial(max, 1)(2)


def set_back(x):
    CONFIG.kept = x
    y = CONFIG.kept * 2
    del CONFIG.kept
    size, CONFIG.size = CONFIG.size, 3
    CONFIG.size = size
    return y


def set_to_what_it_is(x):
    global SCALE
    SCALE = 2.0
    SETTINGS["size"] = 3
    SLOTTED.size = SLOTTED.size
    LAYER.train()
    MODEL.weight.requires_grad_()


def importing(x):
    import json

    return json.dumps([1])


@pytest.mark.parametrize(
    "function",
    [local_containers, local_objects, local_iterators, pure_builtins, local_exception, context_managers, into_tensors, a_training_step,
     keyword_arguments, own_cells, own_class, own_generator, arrays, callable_objects, set_back, set_to_what_it_is, importing],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_this_is_none(function, x):
    assert effects(function, x) == []


def test_an_effect_in_a_called_function_names_all_lines_down_to_it(x):
    def helper():
        HISTORY.append(1)

    def function(x):
        x = x + 1
        helper()
        return x

    [effect] = watched(function, x).effects
    first = function.__code__.co_firstlineno
    assert effect.frame_lines == [(function.__code__, first + 2), (helper.__code__, helper.__code__.co_firstlineno + 1)]


def test_an_effect_below_a_layer_of_mashal_is_found(x):
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x

    model = torch.nn.Sequential(Counting())
    assert effects(lambda x: model(x), x) == ["self.calls = …"]


def test_a_step_of_a_scheduler_is_no_effect(x):
    optimizer = torch.optim.SGD(MODEL.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: len(HISTORY) + 1.0)

    def function(x):
        MODEL(x).sum().backward()
        optimizer.step()
        scheduler.step()

    assert effects(function, x) == []


def test_values_kept_in_a_function_of_autograd_are_no_effect(x):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.factor = 2
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor

    x.requires_grad_()
    assert effects(lambda x: Double.apply(x).sum().backward(), x) == []


def test_line_tells_the_frames_of_the_program(x):
    lines = []
    watch = Watch(None)

    def helper():
        lines.extend(watch.line())

    def function():
        helper()

    with watch:
        function()
    assert [(code.co_name, line - code.co_firstlineno) for code, line in lines] == [("function", 1), ("helper", 1)]


def test_line_begins_at_the_function_wherever_the_watch_was_entered(x):
    lines = []
    watch = Watch(None)

    @contextlib.contextmanager
    def elsewhere():
        with watch:
            yield

    def function():
        lines.extend(watch.line())

    with elsewhere():
        function()
    assert [code.co_name for code, _ in lines] == ["function"]


def test_what_traced_and_profiled_before_does_so_again():
    trace = lambda *_: None
    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    try:
        with Watch(len):
            pass
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before[0])
    assert (sys.gettrace(), sys.getprofile()) == before


def test_another_tracer_still_sees_the_lines(x):
    seen = []

    def trace(frame, event, argument):
        seen.append((frame.f_code.co_name, event))
        return trace

    def function(x):
        return x * SCALE

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert reads(function, x) == {"global `SCALE`"}
    finally:
        sys.settrace(before)
    assert ("function", "line") in seen


def test_an_exception_leaves_no_tracer_behind(x):
    def function(x):
        raise ValueError("here")

    before = sys.gettrace(), sys.getprofile()
    with pytest.raises(ValueError, match="here"):
        watched(function, x)
    assert (sys.gettrace(), sys.getprofile()) == before


def test_watches_nest(x):
    inner = []

    def helper(x):
        return x * SCALE

    def function(x):
        inner.append(reads(helper, x))
        return x * CONFIG.size

    outer = watched(function, x)
    assert inner == [{"global `SCALE`"}]
    assert "`CONFIG.size`" in {g.what for g in outer.guards}
