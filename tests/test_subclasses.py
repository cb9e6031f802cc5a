"""Subclasses of Tensor: what operations on them give, and what they may say themselves."""

import inspect

import mashal as torch
from mashal import nn


class Marked(torch.Tensor):
    """A tensor that says nothing of its own."""


class Watching(torch.Tensor):
    """A tensor that notes what is done with it."""

    seen = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


class Ignorant:
    """No tensor, but asked by operations."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return f"{func.__name__} of something else"


def test_operations_on_a_subclass_give_the_subclass():
    x = torch.ones(3, 2).as_subclass(Marked)
    results = [x + 1, 1 - x, x.sum(), x[0], x.reshape(2, 3), torch.exp(x), x @ x.t(), torch.cat([x, x]), x.detach()]
    assert {type(y) for y in results} == {Marked}
    assert [type(y) for y in x.max(0)] == [Marked, Marked]


def test_the_constructor_makes_the_subclass():
    x = Marked([1.0, 2.0])
    assert type(x) is Marked
    assert repr(x) == "Marked([1., 2.])"


def test_a_subclass_is_asked_for_each_operation():
    Watching.seen.clear()
    x = torch.ones(2).as_subclass(Watching)
    torch.exp(x + x).sum()
    assert Watching.seen == ["add", "exp", "sum"]


def test_what_is_no_tensor_is_asked_too():
    assert torch.exp(Ignorant()) == "exp of something else"
    assert torch.add(torch.ones(1), Ignorant()) == "add of something else"


def test_operations_on_parameters_give_plain_tensors():
    class Weight(nn.Parameter):
        pass

    for kind in (nn.Parameter, Weight):
        x = kind(torch.ones(2))
        assert type(x * 2) is type(x.sum()) is torch.Tensor


def test_gradients_reach_a_subclass():
    x = torch.ones(2).as_subclass(Marked).requires_grad_()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


# ---------------------------------------------------------------- every public function asks
def test_every_kind_of_function_asks_the_subclass():
    Watching.seen.clear()
    x = torch.ones(2, 2).as_subclass(Watching)
    nn.functional.linear(x, x)
    torch.stack([x, x])
    x.reshape(4)
    nn.functional.cross_entropy(x, torch.tensor([0, 1]))
    x.add_(1)
    1 - x
    x @ x
    nn.functional.softmax(x, -1)
    torch.zeros_like(x)
    x.to(torch.float64)
    names = ["linear", "stack", "reshape", "cross_entropy", "add_", "rsub", "matmul", "softmax", "zeros_like", "to"]
    assert Watching.seen == names


def test_an_operator_is_told_as_the_function_of_its_name():
    told = []

    class Asking(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            told.append(func)
            return super().__torch_function__(func, types, args, kwargs or {})

    x = torch.ones(2).as_subclass(Asking)
    x + 1
    torch.mul(x, 2)
    assert told == [torch.add, torch.mul]


class Names(torch.overrides.TorchFunctionMode):
    def __init__(self):
        self.names = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(torch.overrides.resolve_name(func))
        return func(*args, **(kwargs or {}))


def test_a_mode_sees_calls_inside_its_block():
    with Names() as mode:
        x = torch.ones(2) + 1
        nn.functional.relu(x).sum()
    torch.zeros(2)
    assert mode.names == ["torch.ones", "torch.add", "torch.nn.functional.relu", "torch.sum"]


def test_modes_see_what_modes_inside_them_call():
    with Names() as outer, Names() as inner:
        torch.ones(2)
    assert outer.names == inner.names == ["torch.ones"]


def test_a_mode_can_answer_itself():
    class Seven(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return 7 if func is torch.add else func(*args, **(kwargs or {}))

    with Seven():
        assert torch.ones(2) + 1 == 7
        assert torch.add(torch.ones(2), 1) == 7
    assert (torch.ones(1) + 1).item() == 2


def test_functions_of_ones_own_ask_too():
    class Like:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return "asked"

    @torch.overrides.wrap_torch_function(lambda x: (x,))
    def function(x):
        return x

    assert function(Like()) == "asked"
    assert function(3) == 3
    assert torch.overrides.is_tensor_like(Like())
    assert not torch.overrides.has_torch_function((torch.ones(1), 2))


def test_what_can_be_overridden_is_listed():
    listed = torch.overrides.get_overridable_functions()
    assert torch.add in listed[torch]
    assert torch.Tensor.view in listed[torch.Tensor]
    assert torch.overrides.get_testing_overrides()[torch.add](1, 2) == -1
    assert torch.typename not in torch.overrides.get_ignored_functions() or torch.typename not in listed[torch]


def test_what_asks_nobody_is_listed():
    assert torch.Tensor.as_subclass in torch.overrides.get_ignored_functions()


def test_testing_overrides_have_signatures_of_names_and_defaults():
    answer = torch.overrides.get_testing_overrides()[torch.add]
    assert str(inspect.signature(answer)) == "(input, other, alpha=1, out=None)"


def plus_one(x, y):
    if torch.overrides.has_torch_function((x, y)):
        return torch.overrides.handle_torch_function(plus_one, (x, y), x, y)
    return x * y + 1


class Telling(torch.Tensor):
    told = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.told.append(func.__name__)
        return torch.overrides.redispatch_function(func, types, args, kwargs)


class TellingMode(torch.overrides.TorchFunctionMode):
    def __init__(self):
        self.told = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.told.append(func.__name__)
        with self:
            return torch.overrides.redispatch_function(func, types, args, kwargs)


def test_redispatch_skips_one_question():
    found = plus_one(Telling([3.0]), Telling([4.0]))
    assert Telling.told == ["plus_one", "mul"]  # the product is plain, so nobody is told of the sum
    assert type(found) is torch.Tensor and found.tolist() == [13.0]


def test_redispatch_in_a_mode_tells_of_what_is_inside():
    mode = TellingMode()
    with mode:
        found = plus_one(torch.tensor([3.0]), torch.tensor([4.0]))
    assert [name for name in mode.told if name != "tensor"] == ["plus_one", "mul", "add"] and found.tolist() == [13.0]
