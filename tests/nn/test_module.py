"""Module: registering, attributes, the call and its hooks, walking, converting, printing, copying."""

import copy
import gc
import pickle
import weakref

import pytest

import mashal as torch
from mashal import nn
from mashal.nn.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_parameter_registration_hook,
)


class Scale(nn.Module):
    """One parameter, one buffer, one that is not saved."""

    def __init__(self, size=2):
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), 2.0))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)

    def forward(self, x, *, shift=0.0):
        return x * self.weight + shift


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.second = Scale()

    def forward(self, x):
        return self.second(self.first(x))


def names(pairs):
    return [name for name, _ in pairs]


# ---------------------------------------------------------------- registering
def test_an_assigned_parameter_is_registered():
    assert names(Scale().named_parameters()) == ["weight"]


def test_an_assigned_module_is_registered():
    assert names(Pair().named_children()) == ["first", "second"]


def test_an_assigned_buffer_object_is_registered():
    m = nn.Module()
    m.mean = nn.Buffer(torch.zeros(2), persistent=False)
    assert names(m.named_buffers()) == ["mean"]
    assert list(m.state_dict()) == []


def test_what_is_registered_is_found_without_a_failing_lookup():
    m = Pair()
    assert m.__dict__["first"] is m._modules["first"]
    assert m.first.__dict__["weight"] is m.first._parameters["weight"]


def test_writing_to_the_dictionary_is_seen_by_the_attribute():
    m = Scale()
    m._parameters["weight"] = other = nn.Parameter(torch.ones(2))
    assert m.weight is other


def test_deleting_from_the_dictionary_is_seen_by_the_attribute():
    m = Scale()
    del m._parameters["weight"]
    assert not hasattr(m, "weight")


def test_after_deleting_a_parameter_its_name_takes_a_plain_tensor():
    m = Scale()
    del m.weight
    m.weight = torch.ones(2)
    assert names(m.named_parameters()) == []
    assert m.weight.tolist() == [1.0, 1.0]


def test_a_whole_new_dictionary_is_linked_too():
    m = Scale()
    m._parameters = {"other": nn.Parameter(torch.ones(1))}
    assert not hasattr(m, "weight")
    assert m.other.tolist() == [1.0]
    m._parameters["other"] = None
    assert m.other is None


def test_none_keeps_the_name_of_a_parameter():
    m = Scale()
    m.weight = None
    assert m.weight is None
    assert list(m._parameters) == ["weight"]
    assert names(m.named_parameters()) == []


def test_a_parameter_takes_the_place_of_a_plain_attribute():
    m = nn.Module()
    m.x = 1
    m.x = nn.Parameter(torch.ones(1))
    assert names(m.named_parameters()) == ["x"]


def test_a_module_takes_the_place_of_a_parameter():
    m = Scale()
    m.weight = nn.Identity()
    assert names(m.named_parameters()) == []
    assert names(m.named_children()) == ["weight"]


def test_a_tensor_assigned_to_a_buffer_stays_a_buffer():
    m = Scale()
    m.seen = torch.ones(1)
    assert m._buffers["seen"] is m.seen
    assert "seen" in m.state_dict()


def test_a_buffer_assigned_anew_stays_unsaved():
    m = Scale()
    m.scratch = torch.ones(1)
    assert "scratch" not in m.state_dict()


def test_a_tensor_assigned_to_a_parameter_is_refused():
    with pytest.raises(TypeError, match=r"as parameter 'weight' \(torch.nn.Parameter or None expected\)"):
        Scale().weight = torch.ones(2)


def test_a_number_assigned_to_a_module_is_refused():
    with pytest.raises(TypeError, match=r"cannot assign 'int' as child module 'first'"):
        Pair().first = 3


def test_a_number_assigned_to_a_buffer_is_refused():
    with pytest.raises(TypeError, match=r"cannot assign 'int' as buffer 'seen'"):
        Scale().seen = 3


@pytest.mark.parametrize("value", [nn.Identity, lambda: nn.Parameter(torch.ones(1)), lambda: nn.Buffer(torch.ones(1))])
def test_assigning_before_init_says_so(value):
    class Early(nn.Module):
        def __init__(self):
            self.x = value()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("a.b", KeyError, "contain"),
        ("", KeyError, "be empty"),
        ("forward", KeyError, "attribute 'forward' already exists"),
        (3, TypeError, "should be a string"),
    ],
)
def test_a_bad_name_is_refused(name, error, text):
    for register in (
        lambda: nn.Module().register_parameter(name, None),
        lambda: nn.Module().register_buffer(name, None),
        lambda: nn.Module().add_module(name, None),
    ):
        with pytest.raises(error, match=text):
            register()


def test_a_computed_tensor_is_no_parameter():
    computed = nn.Parameter(torch.ones(1))
    computed = computed * 2
    with pytest.raises(TypeError, match="Parameter or None required"):
        nn.Module().register_parameter("x", computed)


def test_registering_something_else_is_refused():
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        nn.Module().add_module("x", 3)
    with pytest.raises(TypeError, match="object to buffer 'x'"):
        nn.Module().register_buffer("x", 3)


def test_a_module_takes_no_arguments():
    with pytest.raises(TypeError, match="takes no arguments, but was given 2 positional"):
        nn.Module(1, 2)
    with pytest.raises(TypeError, match="keyword argument 'a'"):
        nn.Module(a=1)


def test_call_super_init_passes_arguments_on():
    class Other:
        def __init__(self, value):
            self.value = value

    class Both(nn.Module, Other):
        call_super_init = True

    assert Both(5).value == 5


def test_a_missing_attribute_is_named():
    with pytest.raises(AttributeError, match="'Scale' object has no attribute 'nothing'"):
        _ = Scale().nothing


def test_dir_lists_what_is_registered():
    assert {"first", "second", "forward"} <= set(dir(Pair()))


def test_a_submodule_does_not_hide_a_method():
    m = nn.Module()
    m.train = nn.Identity()
    assert m.train(False) is m
    assert names(m.named_children()) == ["train"]


def test_a_module_goes_with_its_last_user():
    gc.disable()
    try:
        m = Pair()
        gone = weakref.ref(m)
        del m
        assert gone() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- the call and its hooks
def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required "forward" function'):
        nn.Module()(1)


def test_hooks_run_in_their_order():
    m, order = Scale(), []
    m.register_forward_hook(lambda *_: order.append("forward"))
    m.register_forward_hook(lambda *_: order.append("prepended"), prepend=True)
    m.register_forward_pre_hook(lambda *_: order.append("pre"))
    everywhere = register_module_forward_hook(lambda *_: order.append("global"))
    before = register_module_forward_pre_hook(lambda *_: order.append("global pre"))
    m(torch.ones(2))
    everywhere.remove()
    before.remove()
    m(torch.ones(2))
    assert order == ["global pre", "pre", "global", "prepended", "forward", "pre", "prepended", "forward"]


def test_a_forward_hook_replaces_the_output():
    m = Scale()
    m.register_forward_hook(lambda module, args, output: output + 1)
    assert m(torch.ones(2)).tolist() == [3.0, 3.0]


def test_a_forward_hook_with_kwargs_sees_them():
    m, seen = Scale(), []
    m.register_forward_hook(lambda module, args, kwargs, output: seen.append(kwargs), with_kwargs=True)
    m(torch.ones(2), shift=1.0)
    assert seen == [{"shift": 1.0}]


def test_a_pre_hook_replaces_the_arguments():
    m = Scale()
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)
    assert m(torch.ones(2)).tolist() == [4.0, 4.0]


def test_a_pre_hook_with_kwargs_replaces_both():
    m = Scale()
    m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"shift": 10.0}), with_kwargs=True)
    assert m(torch.ones(2)).tolist() == [12.0, 12.0]


def test_a_pre_hook_with_kwargs_that_returns_something_else_is_refused():
    m = Scale()
    m.register_forward_pre_hook(lambda module, args, kwargs: 5, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"None or a tuple \(args, kwargs\), not 5"):
        m(torch.ones(2))


def test_an_always_called_hook_runs_after_an_error():
    m, seen = nn.Module(), []
    m.register_forward_hook(lambda *_: seen.append("never"))
    m.register_forward_hook(lambda module, args, output: seen.append(output), always_call=True)
    with pytest.raises(NotImplementedError):
        m(1)
    assert seen == [None]


def test_an_error_in_an_always_called_hook_only_warns():
    m = nn.Module()
    m.register_forward_hook(lambda *_: 1 / 0, always_call=True)
    with pytest.warns(UserWarning, match="ZeroDivisionError"), pytest.raises(NotImplementedError):
        m(1)


def test_a_removed_hook_is_gone_and_the_call_takes_the_short_way_again():
    m, seen = Scale(), []
    handle = m.register_forward_hook(lambda *_: seen.append(1), with_kwargs=True)
    handle.remove()
    handle.remove()
    m(torch.ones(2))
    m(torch.ones(2))
    assert seen == []
    assert not m._long_way
    assert m._forward_hooks_with_kwargs == {}


def test_a_handle_is_a_context():
    m, seen = Scale(), []
    with m.register_forward_hook(lambda *_: seen.append(1)):
        m(torch.ones(2))
    m(torch.ones(2))
    assert seen == [1]


def test_a_hook_put_into_the_dictionary_by_hand_runs():
    m, seen = Scale(), []
    m._forward_hooks[7] = lambda *_: seen.append(1)
    m(torch.ones(2))
    assert seen == [1]


def test_hooks_are_copied_with_the_module():
    m, seen = Scale(), []
    m.register_forward_hook(lambda *_: seen.append(1))
    copy.deepcopy(m)(torch.ones(2))
    assert seen == [1]


# ---------------------------------------------------------------- hooks of backward
def test_a_full_backward_hook_sees_both_gradients():
    m, seen = Scale(), []
    m.register_full_backward_hook(lambda module, into, out: seen.append((into[0].tolist(), out[0].tolist())))
    m(torch.ones(2, requires_grad=True)).sum().backward()
    assert seen == [([2.0, 2.0], [1.0, 1.0])]


def test_a_full_backward_hook_sees_none_where_the_input_needs_no_gradient():
    m, seen = Scale(), []
    m.register_full_backward_hook(lambda module, into, out: seen.append((into, out[0].tolist())))
    m(torch.ones(2)).sum().backward()
    assert seen == [((None,), [1.0, 1.0])]


def test_a_full_backward_hook_replaces_the_gradient():
    m, x = Scale(), torch.ones(2, requires_grad=True)
    m.register_full_backward_hook(lambda module, into, out: (into[0] * 10,))
    m(x).sum().backward()
    assert x.grad.tolist() == [20.0, 20.0]


def test_a_full_backward_pre_hook_replaces_the_gradient_of_the_output():
    m, x = Scale(), torch.ones(2, requires_grad=True)
    m.register_full_backward_pre_hook(lambda module, out: (out[0] * 10,))
    m(x).sum().backward()
    assert x.grad.tolist() == [20.0, 20.0]
    assert m.weight.grad.tolist() == [10.0, 10.0]


def test_full_backward_hooks_run_from_the_last_module_to_the_first():
    m, order = Pair(), []
    m.first.register_full_backward_hook(lambda *_: order.append("first"))
    m.second.register_full_backward_hook(lambda *_: order.append("second"))
    m(torch.ones(2, requires_grad=True)).sum().backward()
    assert order == ["second", "first"]


def test_a_hook_with_another_number_of_gradients_is_refused():
    m = Scale()
    m.register_full_backward_hook(lambda module, into, out: (into[0], into[0]))
    with pytest.raises(RuntimeError, match="returned 2 gradients; 1 were passed to it"):
        m(torch.ones(2, requires_grad=True)).sum().backward()


def test_a_hook_of_all_modules_sees_backward():
    seen = []
    with register_module_full_backward_hook(lambda module, into, out: seen.append(type(module).__name__)):
        Pair()(torch.ones(2, requires_grad=True)).sum().backward()
    assert seen == ["Scale", "Scale", "Pair"]


def test_a_hook_of_all_registrations_replaces_the_parameter():
    def frozen(module, name, param):
        return nn.Parameter(param.data, requires_grad=False)

    with register_module_parameter_registration_hook(frozen):
        m = Scale()
    assert not m.weight.requires_grad
    assert Scale().weight.requires_grad


def test_where_no_input_needs_a_gradient_a_hook_must_return_none():
    m = Scale()
    m.register_full_backward_hook(lambda module, into, out: out)
    with pytest.raises(RuntimeError, match="no input of the Scale requires one; return None"):
        m(torch.ones(2)).sum().backward()


def test_the_old_backward_hook_sees_the_last_operation():
    m, seen = nn.Identity(), []
    m.forward = lambda x: x * 3
    m.register_backward_hook(lambda module, into, out: seen.append((into[0].tolist(), out[0].tolist())))
    m(torch.ones(1, requires_grad=True)).backward(torch.ones(1))
    assert seen == [([3.0], [1.0])]


def test_both_kinds_of_backward_hooks_on_one_module_are_refused():
    m = Scale()
    m.register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="cannot be used on one module"):
        m.register_backward_hook(lambda *_: None)


# ---------------------------------------------------------------- walking
def test_parameters_come_in_the_order_of_registration():
    assert names(Pair().named_parameters()) == ["first.weight", "second.weight"]


def test_a_shared_parameter_comes_once():
    m = Pair()
    m.second.weight = m.first.weight
    assert names(m.named_parameters()) == ["first.weight"]
    assert names(m.named_parameters(remove_duplicate=False)) == ["first.weight", "second.weight"]
    assert len(list(m.parameters())) == 1


def test_a_shared_module_comes_once():
    m = Pair()
    m.second = m.first
    assert names(m.named_modules()) == ["", "first"]
    assert names(m.named_modules(remove_duplicate=False)) == ["", "first", "second"]
    assert names(m.named_children()) == ["first"]


def test_recurse_false_stays_at_the_module():
    assert names(Pair().named_parameters(recurse=False)) == []
    assert names(Scale().named_buffers(prefix="p", recurse=False)) == ["p.seen", "p.scratch"]


def test_members_are_found_by_path():
    m = Pair()
    assert m.get_submodule("first") is m.first
    assert m.get_submodule("") is m
    assert m.get_parameter("first.weight") is m.first.weight
    assert m.get_buffer("second.seen") is m.second.seen


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.get_submodule("third"), "Pair has no attribute `third`"),
        (lambda m: m.get_submodule("first.weight"), "'weight' in 'first.weight' is a Parameter, no module"),
        (lambda m: m.get_parameter("first.seen"), "'first.seen' is a Tensor, no parameter"),
        (lambda m: m.get_buffer("first.weight"), "'first.weight' is a Parameter, no buffer"),
    ],
)
def test_a_path_that_leads_elsewhere_is_named(call, text):
    with pytest.raises(AttributeError, match=text):
        call(Pair())


def test_set_submodule_replaces_and_adds():
    m = Pair()
    m.set_submodule("first", nn.Identity())
    m.set_submodule("first.below", nn.Identity())
    assert names(m.named_modules()) == ["", "first", "first.below", "second"]


def test_set_submodule_refuses_what_is_no_module():
    with pytest.raises(ValueError, match="a int is no module"):
        Pair().set_submodule("first", 3)
    with pytest.raises(ValueError, match="name one below it"):
        Pair().set_submodule("", nn.Identity())
    with pytest.raises(AttributeError, match="Pair has no attribute `third`"):
        Pair().set_submodule("third", nn.Identity(), strict=True)


def test_apply_visits_children_first():
    order = []
    m = Pair()
    assert m.apply(lambda module: order.append(type(module).__name__)) is m
    assert order == ["Scale", "Scale", "Pair"]


# ---------------------------------------------------------------- converting
def test_to_keeps_the_parameter_and_changes_its_data():
    m = Pair()
    weight = m.first.weight
    assert m.double() is m
    assert m.first.weight is weight
    assert weight.dtype == torch.float64
    assert m.first.seen.dtype == torch.float64
    assert weight.requires_grad
    assert weight.is_leaf


def test_gradients_are_converted_too():
    m = Scale()
    m(torch.ones(2)).sum().backward()
    m.to(torch.float64)
    assert m.weight.grad.dtype == torch.float64
    assert m.weight.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("name", "dtype"), [("half", "float16"), ("bfloat16", "bfloat16"), ("float", "float32")])
def test_each_dtype_has_its_method(name, dtype):
    assert getattr(Scale().double(), name)().weight.dtype == getattr(torch, dtype)


def test_integers_stay_integers():
    m = Scale()
    m.register_buffer("count", torch.tensor(3))
    assert m.half().count.dtype == torch.int64
    assert m.to(torch.float64).count.dtype == torch.int64


def test_to_an_integer_dtype_is_refused():
    with pytest.raises(TypeError, match=r"only accepts floating point or complex dtypes, but got dtype=torch.int64"):
        Scale().to(torch.int64)


def test_to_takes_what_tensors_take():
    m = Scale()
    m.to("cpu", torch.float64)
    m.to(device=torch.device("cpu"), dtype=torch.float32)
    assert m.to(torch.ones(1, dtype=torch.float64)).weight.dtype == torch.float64


def test_a_module_on_meta_gets_memory_with_to_empty():
    m = nn.Linear(2, 3, device="meta")
    assert m.weight.device.type == "meta"
    assert m.to_empty(device="cpu").weight.device.type == "cpu"
    assert isinstance(m.weight, nn.Parameter)
    assert nn.utils.skip_init(nn.Linear, 2, 3).weight.shape == (3, 2)


def test_a_module_on_meta_cannot_be_copied():
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data! Use to_empty"):
        nn.Linear(2, 3, device="meta").to("cpu")


def test_train_and_eval_reach_all_modules():
    m = Pair()
    assert m.eval() is m
    assert [module.training for module in m.modules()] == [False] * 3
    m.train()
    assert [module.training for module in m.modules()] == [True] * 3
    with pytest.raises(ValueError, match="mode must be True or False, not 1"):
        m.train(1)


def test_requires_grad_reaches_all_parameters():
    m = Pair().requires_grad_(False)
    assert [p.requires_grad for p in m.parameters()] == [False, False]


def test_zero_grad_forgets_or_fills():
    m = Scale()
    m(torch.ones(2)).sum().backward()
    m.zero_grad(set_to_none=False)
    assert m.weight.grad.tolist() == [0.0, 0.0]
    m.zero_grad()
    assert m.weight.grad is None


# ---------------------------------------------------------------- printing and copying
def test_a_nested_module_prints_its_tree():
    m = Pair()
    m.rows = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3)])
    assert repr(m) == (
        "Pair(\n"
        "  (first): Scale()\n"
        "  (second): Scale()\n"
        "  (rows): ModuleList(\n"
        "    (0-1): 2 x Linear(in_features=2, out_features=3, bias=True)\n"
        "  )\n"
        ")"
    )


def test_extra_repr_stands_before_the_children():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ReLU()

        def extra_repr(self):
            return "a=1"

    assert repr(Extra()) == "Extra(\n  a=1\n  (inner): ReLU()\n)"


def test_a_deep_copy_shares_nothing():
    m = Pair()
    other = copy.deepcopy(m)
    assert other.first.weight is not m.first.weight
    assert other.first.weight is other.first._parameters["weight"]
    assert isinstance(other.first.weight, nn.Parameter)


def test_a_pickled_module_comes_back():
    m = pickle.loads(pickle.dumps(Pair()))
    m.first._parameters["weight"] = None
    assert m.first.weight is None
    assert m.second.weight.tolist() == [2.0, 2.0]
    assert names(m.named_buffers()) == ["first.seen", "first.scratch", "second.seen", "second.scratch"]


def test_what_is_pickled_holds_plain_dictionaries():
    state = Scale().__getstate__()
    assert type(state["_parameters"]) is dict
    assert "weight" not in state


def test_a_module_whose_dict_came_from_elsewhere_still_works():
    old, m = Scale(), Scale.__new__(Scale)
    m.__dict__.update(old.__getstate__())
    assert m.weight is old.weight
    m.weight = nn.Parameter(torch.ones(2))
    assert m.weight.tolist() == [1.0, 1.0]
    assert old.weight.tolist() == [2.0, 2.0]


# ---------------------------------------------------------------- parameters
def test_a_parameter_prints_as_one():
    assert repr(nn.Parameter(torch.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


def test_a_parameter_shares_memory():
    x = torch.zeros(2)
    p = nn.Parameter(x)
    x.fill_(1)
    assert p.tolist() == [1.0, 1.0]
    assert p.is_leaf


def test_a_parameter_that_needs_no_gradient():
    assert not nn.Parameter(torch.ones(1), requires_grad=False).requires_grad


def test_an_empty_parameter():
    assert nn.Parameter().shape == (0,)


def test_a_plain_tensor_is_no_parameter_and_a_buffer_is_a_tensor():
    assert not isinstance(torch.ones(1), nn.Parameter)
    assert not isinstance(torch.ones(1), nn.Buffer)
    assert isinstance(nn.Buffer(torch.ones(1)), nn.Buffer)


def test_a_copied_parameter_is_a_parameter():
    p = copy.deepcopy(nn.Parameter(torch.ones(2), requires_grad=False))
    assert isinstance(p, nn.Parameter)
    assert not p.requires_grad


def test_what_is_computed_from_a_parameter_is_a_tensor():
    assert type(nn.Parameter(torch.ones(2)) * 2) is torch.Tensor
