"""A program whose code is replaced while it runs is recorded anew."""

import functools
import importlib
import sys

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import functional as F


def triple(x, *rest):
    return x * 3


class Base:
    factor = 2.0

    def method(self, x):
        return x * self.factor

    @classmethod
    def of_class(cls, x):
        return x * 2

    @property
    def computed(self):
        return self.factor

    def __call__(self, x):
        return x * 2

    def __iter__(self):
        return iter([2.0])

    def __bool__(self):
        return True


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def tripled(p, *rest):
    p.grad.mul_(3)


def things():
    """What a program is made of, anew for each test."""
    kind = type("Kind", (Base,), {})
    space = {}
    exec("def called(x, factor=2.0, *, more=1.0):\n    return x * factor * more\n", space)
    kind.called, kind.object, kind.partial = staticmethod(space["called"]), kind(), functools.partial(triple, 1)
    return kind


def with_code(function, name="__code__", value=triple.__code__):
    setattr(function, name, value)


PROGRAMS = {
    "code": (lambda k, x: k.called(x), lambda k: with_code(k.called)),
    "defaults": (lambda k, x: k.called(x), lambda k: with_code(k.called, "__defaults__", (5.0,))),
    "keyword defaults": (lambda k, x: k.called(x), lambda k: with_code(k.called, "__kwdefaults__", {"more": 5.0})),
    "code in a map": (lambda k, x: sum(map(k.called, [x])), lambda k: with_code(k.called)),
    "overridden method": (lambda k, x: k.object.method(x), lambda k: setattr(k, "method", lambda self, x: x * 3)),
    "bases": (lambda k, x: k.object.method(x), lambda k: setattr(k, "__bases__", (Other,))),
    "class of an object": (lambda k, x: k.object.method(x), lambda k: setattr(k.object, "__class__", Other)),
    "class method": (lambda k, x: k.of_class(x), lambda k: setattr(k, "of_class", classmethod(lambda c, x: x * 3))),
    "property": (lambda k, x: x * k.object.computed, lambda k: setattr(k, "computed", property(lambda self: 3.0))),
    "__call__": (lambda k, x: k.object(x), lambda k: setattr(k, "__call__", lambda self, x: x * 3)),
    "__iter__": (lambda k, x: sum(x * f for f in k.object), lambda k: setattr(k, "__iter__", lambda s: iter([3.0]))),
    "__bool__": (lambda k, x: x * 2 if k.object else x, lambda k: setattr(k, "__bool__", lambda self: False)),
    "class attribute": (lambda k, x: x * k.object.factor, lambda k: setattr(k, "factor", 3.0)),
    "isinstance": (lambda k, x: x * isinstance(k.object, Other), lambda k: setattr(k.object, "__class__", Other)),
}


class Other(Base):
    def method(self, x):
        return x * 7


def follows(function, change, calls=2):
    """Whether a compiled function gives what it gives without compile, before and after a change."""
    fast, x = torch.compile(function), torch.ones(2)
    for _ in range(calls):
        assert fast(x).tolist() == function(x).tolist()
    before = function(x).tolist()
    change()
    assert function(x).tolist() != before
    for _ in range(calls):
        assert fast(x).tolist() == function(x).tolist()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("what", PROGRAMS)
def test_what_is_replaced_is_seen(what, cut):
    kind = things()
    program, change = PROGRAMS[what]

    def function(x):
        if cut:
            x = x * x.sum().item()
        return program(kind, x) * 1

    follows(function, lambda: change(kind))


@pytest.mark.parametrize("cut", [False, True])
def test_the_code_of_the_function_itself_may_be_replaced(cut):
    if cut:

        def function(x):
            return x * x.sum().item()
    else:

        def function(x):
            return x * 2

    follows(function, lambda: with_code(function, value=(lambda x: x * 5).__code__))


def test_a_module_that_is_loaded_again_is_recorded_anew(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "loaded_again.py"
    file.write_text("def scaled(x):\n    return x * 2\n")
    module = importlib.import_module("loaded_again")

    def load():
        file.write_text("def scaled(x):\n    return x * 3 + 0\n")
        importlib.invalidate_caches()
        importlib.reload(module)

    follows(lambda x: module.scaled(x), load)


def test_functions_and_layers_of_mashal_may_be_replaced(monkeypatch):
    layer = nn.Sequential(nn.ReLU())
    follows(lambda x: F.relu(x), lambda: monkeypatch.setattr(F, "relu", triple))
    follows(lambda x: layer(x), lambda: monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x * 3))
    follows(lambda x: x.exp(), lambda: monkeypatch.setattr(torch.Tensor, "exp", triple))


@pytest.mark.parametrize("which", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_of_a_parameter_are_seen_and_so_is_that_they_go(which):
    layer = nn.Linear(2, 1)
    hook = (lambda g: g * 3) if which == "register_hook" else tripled

    def gradient(x):
        layer.weight.grad = None
        layer(x).sum().backward()
        return layer.weight.grad * 1

    handles = []
    follows(gradient, lambda: handles.append(getattr(layer.weight, which)(hook)))
    follows(gradient, handles[0].remove)


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_an_autograd_function_may_be_replaced_in_part(monkeypatch, what):
    weight = torch.ones(2, requires_grad=True)

    def gradient(x):
        weight.grad = None
        y = Twice.apply(x * weight)
        y.sum().backward()
        return weight.grad + y.detach()

    follows(gradient, lambda: monkeypatch.setattr(Twice, what, staticmethod(lambda ctx, x: x * 3)))


@pytest.mark.parametrize("what", ["hook", "step"])
def test_an_optimizers_hooks_and_its_step_may_change(what):
    weight = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def step(x):
        with torch.no_grad():
            weight.zero_()
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()
        return weight.detach() * 1

    def change():
        if what == "step":
            optimizer.step = lambda: None
        else:
            optimizer.register_step_pre_hook(lambda *of: tripled(weight))

    follows(step, change)


def test_a_class_that_counts_something_else_is_not_recorded_anew():
    kind = things()
    fast = torch.compile(lambda x: kind.object.method(x))
    for i in range(10):
        kind.calls = i
        assert fast(torch.ones(2)).tolist() == [2, 2]
    assert len(fast.recordings.all) == 1
