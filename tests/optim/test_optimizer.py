"""Optimizers as objects: groups, states, hooks, copies; and steps where something has changed since the last one."""

import copy
import pickle
import threading
import warnings

import pytest

import mashal
from mashal import optim
from mashal.core.tensor import version_of


def parameter(values, gradient=None, dtype=None):
    p = mashal.tensor(values, dtype=dtype).requires_grad_()
    if gradient is not None:
        p.grad = mashal.tensor(gradient, dtype=dtype)
    return p


def close(p, values):
    return p.tolist() == pytest.approx(values, rel=1e-6)


# ---------------------------------------------------------------- groups
def test_parameters_make_one_group():
    w = parameter([1.0])
    optimizer = optim.SGD([w], lr=0.5)
    assert [group["params"][0] is w for group in optimizer.param_groups] == [True]
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_groups_have_options_of_their_own():
    a, b = parameter([1.0], [1.0]), parameter([1.0], [1.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.step()
    assert close(a, [0.9])
    assert close(b, [0.5])


def test_a_group_can_be_added():
    a, b = parameter([1.0], [1.0]), parameter([1.0], [1.0])
    optimizer = optim.SGD([a], lr=0.1)
    optimizer.step()
    optimizer.add_param_group({"params": [b], "lr": 0.2})
    optimizer.step()
    assert close(a, [0.8])
    assert close(b, [0.8])


def test_named_parameters_leave_their_names():
    optimizer = optim.SGD([("weight", parameter([1.0])), ("bias", parameter([2.0]))])
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        (lambda: mashal.ones(2), TypeError, "single Tensor"),
        (list, ValueError, "empty"),
        (lambda: [1.0], TypeError, "parameter 0 is a float"),
        (lambda: {parameter([1.0])}, TypeError, "a Tensor|no order|set"),
        (lambda: [{"params": {parameter([1.0])}}], TypeError, "no order"),
        (lambda: [{"params": parameter([1.0])}, parameter([1.0])], TypeError, "dictionary"),
        (lambda: [("a", parameter([1.0])), parameter([1.0])], ValueError, "1 of 2 parameters have names"),
        (lambda: [parameter([1.0]) * 2], ValueError, "not a leaf: MulBackward0"),
    ],
)
def test_what_is_no_list_of_parameters_is_refused(params, error, text):
    given = params()
    if isinstance(given, set):
        given = {"params": given}
        given = [given]
    with pytest.raises(error, match=text):
        optim.SGD(given)


def test_a_parameter_belongs_to_one_group():
    w = parameter([1.0])
    with pytest.raises(ValueError, match="already in group 0"):
        optim.SGD([{"params": [w]}, {"params": [w]}])


def test_a_parameter_twice_in_a_group_warns_and_is_changed_twice():
    w = parameter([1.0], [1.0])
    with pytest.warns(UserWarning, match="twice"):
        optimizer = optim.SGD([w, w], lr=0.1)
    optimizer.step()
    assert close(w, [0.8])


def test_names_are_for_all_groups_or_none():
    optimizer = optim.SGD([("a", parameter([1.0]))])
    with pytest.raises(ValueError, match="names"):
        optimizer.add_param_group({"params": [parameter([1.0])]})


def test_an_option_without_default_must_be_given():
    class Mine(optim.Optimizer):
        def step(self, closure=None):
            pass

    with pytest.raises(ValueError, match="does not give 'speed'"):
        Mine([parameter([1.0])], {"speed": optim.optimizer.required})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: optim.SGD(p, lr=-1.0), "lr is -1.0"),
        (lambda p: optim.SGD(p, nesterov=True), "nesterov=True with momentum=0"),
        (lambda p: optim.SGD(p, momentum=-0.5), "momentum is -0.5"),
        (lambda p: optim.Adam(p, betas=(1.0, 0.9)), "beta1 is 1.0"),
        (lambda p: optim.Adam(p, eps=float("nan")), "eps is nan"),
        (lambda p: optim.Adam(p, lr=mashal.ones(2)), r"lr is a tensor of shape \(2,\)"),
        (lambda p: optim.Rprop(p, etas=(1.5, 2.0)), "etas"),
        (lambda p: optim.Adadelta(p, rho=1.5), "rho is 1.5"),
    ],
)
def test_values_out_of_range_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make([parameter([1.0])])


def test_fused_and_foreach_exclude_each_other():
    with pytest.raises(RuntimeError, match="fused=True and foreach=True"):
        optim.Adam([parameter([1.0])], fused=True, foreach=True)


# ---------------------------------------------------------------- steps
def test_a_step_returns_the_closures_loss():
    w = parameter([1.0])

    def closure():
        w.grad = mashal.tensor([1.0])
        assert mashal.core.tape.is_grad_enabled()
        return 3.0

    assert optim.SGD([w], lr=0.5).step(closure) == 3.0
    assert close(w, [0.5])


def test_a_step_without_closure_returns_none():
    assert optim.SGD([parameter([1.0], [1.0])]).step() is None


def test_parameters_without_gradient_stay():
    a, b = parameter([1.0], [1.0]), parameter([1.0])
    optim.Adam([a, b], lr=0.5).step()
    assert close(a, [0.5])
    assert b.tolist() == [1.0]


def test_a_gradient_that_comes_later_is_seen():
    a, b = parameter([1.0], [1.0]), parameter([1.0])
    optimizer = optim.SGD([a, b], lr=0.5)
    optimizer.step()
    b.grad = mashal.tensor([1.0])
    optimizer.step()
    assert close(a, [0.0])
    assert close(b, [0.5])


def test_the_first_gradient_of_all_may_come_later():
    w = parameter([1.0])
    optimizer = optim.SGD([w], lr=0.5)
    optimizer.step()
    w.grad = mashal.tensor([1.0])
    optimizer.step()
    assert close(w, [0.5])


def test_new_gradients_are_read_at_each_step():
    w = parameter([0.0])
    optimizer = optim.SGD([w], lr=1.0)
    for g in (1.0, 2.0, 4.0):
        w.grad = mashal.tensor([g])
        optimizer.step()
    assert close(w, [-7.0])


def test_options_can_change_between_steps():
    w = parameter([1.0], [1.0])
    optimizer = optim.SGD([w], lr=0.1)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()
    optimizer.param_groups[0]["maximize"] = True
    optimizer.step()
    optimizer.param_groups[0]["weight_decay"] = 0.5
    optimizer.step()
    assert close(w, [0.9 - 0.2 + 0.2 + 0.2 * (1 - 0.5 * 0.9)])


def test_a_learning_rate_can_be_a_tensor():
    w, lr = parameter([1.0], [1.0]), mashal.tensor(0.25)
    optimizer = optim.SGD([w], lr=lr)
    optimizer.step()
    assert close(w, [0.75])


def test_dtypes_can_be_mixed():
    dtypes = [mashal.float16, mashal.bfloat16, mashal.float32, mashal.float64]
    params = [parameter([1.0, 2.0], [1.0, 1.0], dtype) for dtype in dtypes]
    optim.SGD(params, lr=0.5).step()
    assert [p.tolist() for p in params] == [[0.5, 1.5]] * 4


def test_many_elements_and_a_tail_are_all_updated():
    w = mashal.ones(3 * (1 << 14) + 5).requires_grad_()
    w.grad = mashal.ones(3 * (1 << 14) + 5)
    optim.SGD([w], lr=0.5).step()
    assert set(w.tolist()) == {0.5}


def test_empty_and_0d_parameters():
    a, b = parameter(1.0, 1.0), mashal.zeros(0, 3).requires_grad_()
    b.grad = mashal.zeros(0, 3)
    optim.Adam([a, b], lr=0.5).step()
    assert a.item() == pytest.approx(0.5)


def test_a_step_counts_as_a_change_in_place():
    w = parameter([1.0], [1.0])
    optimizer = optim.SGD([w])
    before = version_of(w)
    optimizer.step()
    optimizer.step()
    assert version_of(w) == before + 2


def test_zero_grad_forgets_gradients():
    w = parameter([1.0], [1.0])
    optimizer = optim.SGD([w])
    optimizer.zero_grad()
    assert w.grad is None


def test_parameters_may_be_replaced_in_a_group():
    a, b = parameter([1.0], [1.0]), parameter([1.0], [1.0])
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.step()
    optimizer.param_groups[0]["params"][0] = b
    optimizer.step()
    assert close(a, [0.5])
    assert close(b, [0.5])


def test_results_do_not_depend_on_the_number_of_threads():
    def run(threads):
        mashal.machine.threads.set_num_threads(threads)
        w = mashal.arange(100_000, dtype=mashal.float32).requires_grad_()
        w.grad = mashal.arange(100_000, dtype=mashal.float32)
        optimizer = optim.Adam([w])
        optimizer.step()
        optimizer.step()
        return w.tolist()

    before = mashal.machine.threads.get_num_threads()
    try:
        assert run(1) == run(4)
    finally:
        mashal.machine.threads.set_num_threads(before)


def test_two_python_threads_can_step_at_once():
    params = [mashal.zeros(200_000).requires_grad_() for _ in range(2)]
    for p in params:
        p.grad = mashal.ones(200_000)

    def train(p):
        optimizer = optim.SGD([p], lr=1.0)
        for _ in range(20):
            optimizer.step()

    threads = [threading.Thread(target=train, args=(p,)) for p in params]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(p.tolist()) for p in params] == [{-20.0}] * 2


def test_a_number_that_is_none_is_refused_and_nothing_changes():
    w = parameter([1.0], [1.0])
    optimizer = optim.SGD([w], lr=0.5)
    optimizer.param_groups[0]["lr"] = None
    with pytest.raises(TypeError):
        optimizer.step()
    assert w.tolist() == [1.0]


# ---------------------------------------------------------------- states
def test_states_are_made_by_the_first_step():
    w = parameter([1.0, 2.0], [1.0, 1.0])
    optimizer = optim.Adam([w])
    assert not optimizer.state
    optimizer.step()
    assert list(optimizer.state[w]) == ["step", "exp_avg", "exp_avg_sq"]
    assert optimizer.state[w]["step"].item() == 1.0


def test_plain_descent_has_no_state():
    w = parameter([1.0], [1.0])
    optimizer = optim.SGD([w])
    optimizer.step()
    assert dict(optimizer.state) == {}


def test_a_state_dict_numbers_parameters():
    a, b = parameter([1.0], [1.0]), parameter([1.0], [1.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], momentum=0.9)
    optimizer.step()
    saved = optimizer.state_dict()
    assert list(saved["state"]) == [0, 1]
    assert [group["params"] for group in saved["param_groups"]] == [[0], [1]]


def test_a_state_replaced_by_hand_is_used():
    w = parameter([1.0], [0.0])
    optimizer = optim.SGD([w], lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.step()
    optimizer.state[w]["momentum_buffer"] = mashal.tensor([2.0])
    optimizer.step()
    assert close(w, [0.0])


@pytest.mark.parametrize(("groups", "text"), [(2, "2 parameter groups"), (1, "1 parameters")])
def test_a_state_dict_of_other_sizes_is_refused(groups, text):
    params = [parameter([1.0]) for _ in range(2)]
    if groups == 2:
        saved = optim.SGD([{"params": [p]} for p in params]).state_dict()
    else:
        saved = optim.SGD(params[:1]).state_dict()
    with pytest.raises(ValueError, match=text):
        optim.SGD(params).load_state_dict(saved)


def test_old_counts_of_steps_that_are_numbers_are_taken():
    w = parameter([1.0], [1.0])
    optimizer = optim.Adam([w])
    optimizer.step()
    optimizer.state[w]["step"] = 1
    optimizer.step()
    assert optimizer.state[w]["step"].item() == 2.0


# ---------------------------------------------------------------- hooks
def test_hooks_run_around_a_step():
    seen = []
    optimizer = optim.SGD([parameter([1.0], [1.0])])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", o is optimizer)))
    handle = optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("post", o is optimizer)))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == [("pre", True), ("post", True), ("pre", True)]


def test_a_hook_before_the_step_may_change_its_arguments():
    optimizer = optim.SGD([parameter([1.0], [1.0])])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 7.0), {}))
    assert optimizer.step() == 7.0


def test_a_hook_that_returns_something_else_is_refused():
    optimizer = optim.SGD([parameter([1.0], [1.0])])
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_hooks_of_all_optimizers():
    seen = []
    handle = optim.optimizer.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append(type(o).__name__))
    try:
        optim.SGD([parameter([1.0], [1.0])]).step()
        optim.Adam([parameter([1.0], [1.0])]).step()
    finally:
        handle.remove()
    assert seen == ["SGD", "Adam"]


def test_hooks_around_saving_and_loading():
    seen = []
    optimizer = optim.SGD([parameter([1.0])])
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, state: seen.append(state["more"]))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["saving", 1, "loaded"]


# ---------------------------------------------------------------- copies
def test_a_pickled_optimizer_goes_on():
    w = parameter([1.0], [1.0])
    optimizer = optim.SGD([w], lr=0.5, momentum=0.5)
    optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    v = again.param_groups[0]["params"][0]
    v.grad = mashal.tensor([1.0])
    again.step()
    assert close(v, [0.5 - 0.5 * 1.5])
    assert close(w, [0.5])


def test_a_deep_copy_has_parameters_of_its_own():
    w = parameter([1.0], [1.0])
    optimizer = optim.Adam([w], lr=0.5)
    optimizer.step()
    again = copy.deepcopy(optimizer)
    v = again.param_groups[0]["params"][0]
    assert v is not w
    assert again.state[v]["step"].item() == 1.0


def test_printing_names_all_options():
    assert str(optim.SGD([parameter([1.0])], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


def test_ones_own_optimizer_has_hooks_and_state():
    class Mine(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"speed": 2.0})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["seen"] = group["speed"]

    w = parameter([1.0], [1.0])
    optimizer, seen = Mine([w]), []
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(o.state[w]["seen"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert seen == [2.0]


# ---------------------------------------------------------------- parameters that don't lie in one piece
def test_a_transposed_parameter_with_a_contiguous_gradient():
    w = mashal.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).t().detach().requires_grad_()
    w.grad = mashal.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    optimizer = optim.SGD([w], lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.step()
    expected = [[p - 2.5 * g for p, g in zip(ps, gs, strict=True)] for ps, gs in zip(
        [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], strict=True)]  # fmt: skip
    assert w.tolist() == expected


def test_a_slice_as_parameter_leaves_the_rest_alone():
    whole = mashal.ones(3, 4)
    w = whole[:, 1:3].detach().requires_grad_()
    w.grad = mashal.ones(3, 2)
    optim.SGD([w], lr=1.0).step()
    assert whole.tolist() == [[1.0, 0.0, 0.0, 1.0]] * 3


# ---------------------------------------------------------------- differentiable
@pytest.mark.parametrize(
    "name",
    sorted(set(optim.__all__) - {"Optimizer", "LBFGS", "lr_scheduler", "swa_utils", "Adafactor", "Muon", "SparseAdam"}),
)
def test_recorded_operations_give_what_the_kernel_gives(name):
    kernel, recorded = parameter([1.0, -2.0, 0.5], [1.0, 2.0, 0.0]), parameter([1.0, -2.0, 0.5], [1.0, 2.0, 0.0])
    a, b = getattr(optim, name)([kernel]), getattr(optim, name)([recorded], differentiable=True)
    with mashal.no_grad():
        for _ in range(7):
            a.step()
            b.step()
    assert close(recorded, kernel.tolist())


def test_a_gradient_goes_through_a_differentiable_step():
    w, lr = mashal.tensor([1.0, 2.0]), mashal.tensor(0.5, requires_grad=True)
    p = w.clone().requires_grad_()
    q = p.clone()
    q.grad = mashal.tensor([3.0, 4.0])
    optim.SGD([q], lr=lr, differentiable=True).step()
    q.sum().backward()
    assert lr.grad.item() == -7.0
