"""Optimizers held against PyTorch's (foreach=False): parameters and states step by step, signatures, state_dicts."""

import inspect

import numpy
import pytest
import torch as pytorch

import mashal
from mashal import optim

pytestmark = pytest.mark.parity

PARTICULAR = {"Adafactor", "Muon", "SparseAdam"}  # want parameters of their own kind; tests/optim/test_more.py
OPTIMIZERS = sorted(set(optim.__all__) - {"Optimizer", "LBFGS", "lr_scheduler", "swa_utils"} - PARTICULAR)
OPTIONS = {
    "SGD": [
        {},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.1},
    ],
    "Adam": [
        {},
        {"betas": (0.4, 0.7), "eps": 1e-3},
        {"weight_decay": 0.1, "amsgrad": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "AdamW": [{}, {"amsgrad": True, "lr": 0.1}, {"weight_decay": 0, "maximize": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "maximize": True}],
    "Adadelta": [{}, {"weight_decay": 0.1, "rho": 0.5, "maximize": True}],
    "RMSprop": [{}, {"centered": True}, {"momentum": 0.9, "weight_decay": 0.1, "centered": True, "maximize": True}],
    "Adamax": [{}, {"weight_decay": 0.1, "maximize": True}],
    "NAdam": [{}, {"weight_decay": 0.1, "maximize": True}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"weight_decay": 0.1, "maximize": True}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "Rprop": [{}, {"etas": (0.4, 1.5), "step_sizes": (1e-3, 0.02), "maximize": True}],
    "ASGD": [{}, {"t0": 3, "lambd": 0.01, "weight_decay": 0.1, "maximize": True}],
}
CASES = [(name, options) for name in OPTIMIZERS for options in OPTIONS.get(name, [{}])]
SHAPES = [(3, 5), (7,), (), (129, 33), (0,)]
WITHIN = {"float64": 1e-14, "float32": 2e-6, "float16": 4e-3, "bfloat16": 3e-2}


def mine_of(array, dtype):
    return mashal.tensor(array.tolist(), dtype=getattr(mashal, dtype))


def theirs_of(array, dtype):
    return pytorch.tensor(array.tolist(), dtype=getattr(pytorch, dtype))


def numbers(x):
    if isinstance(x, mashal.Tensor):
        return numpy.array(x.tolist(), dtype=complex if x.is_complex() else float)
    return numpy.array(x.detach().tolist(), dtype=complex if x.is_complex() else float).reshape(tuple(x.shape))


def assert_close(mine, theirs, within):
    a, b = numbers(mine), numbers(theirs)
    assert a.shape == b.shape
    assert str(mine.dtype) == str(theirs.dtype)
    numpy.testing.assert_allclose(a, b, rtol=within, atol=within)


def both(name, options, dtype="float32", shapes=SHAPES, seed=0):
    """The same parameters with the same optimizer, here and there."""
    random = numpy.random.default_rng(seed)
    arrays = [random.standard_normal(shape) for shape in shapes]
    if dtype.startswith("complex"):
        arrays = [a + 1j * random.standard_normal(a.shape) for a in arrays]
    mine = [mine_of(a, dtype).requires_grad_() for a in arrays]
    theirs = [theirs_of(a, dtype).requires_grad_() for a in arrays]
    return (
        mine,
        theirs,
        getattr(optim, name)(mine, **options),
        getattr(pytorch.optim, name)(theirs, **options, **({} if name in ("Adafactor",) else {"foreach": False})),
        random,
    )


def give_gradients(mine, theirs, random, dtype, leave_out=()):
    for i, (p, q) in enumerate(zip(mine, theirs, strict=True)):
        g = random.standard_normal(tuple(q.shape))
        if dtype.startswith("complex"):
            g = g + 1j * random.standard_normal(g.shape)
        p.grad = None if i in leave_out else mine_of(g, dtype)
        q.grad = None if i in leave_out else theirs_of(g, dtype)


def assert_same_states(mine, theirs, within):
    a, b = mine.state_dict(), theirs.state_dict()
    assert list(a["state"]) == list(b["state"])
    for key, state in b["state"].items():
        assert list(a["state"][key]) == list(state)
        for name, value in state.items():
            assert_close(a["state"][key][name], value, within)
    assert {k: v for g in a["param_groups"] for k, v in g.items() if k not in ("foreach", "fused")} == {
        k: v for g in b["param_groups"] for k, v in g.items() if k not in ("foreach", "fused")
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_are_the_same(name, options, dtype):
    mine, theirs, a, b, random = both(name, options, dtype)
    for _ in range(12):
        give_gradients(mine, theirs, random, dtype)
        a.step()
        b.step()
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, WITHIN[dtype])
    assert_same_states(a, b, WITHIN[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
def test_half_precisions_are_close(name, dtype):
    options = {"eps": 1e-3} if name not in ("SGD",) else {"momentum": 0.9}
    mine, theirs, a, b, random = both(name, options, dtype)
    for _ in range(4):
        give_gradients(mine, theirs, random, dtype)
        a.step()
        b.step()
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, WITHIN[dtype])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_complex_parameters_are_pairs_of_real_ones(name):
    mine, theirs, a, b, random = both(name, {}, "complex64")
    for _ in range(4):
        give_gradients(mine, theirs, random, "complex64")
        a.step()
        b.step()
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, 2e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_come_and_go(name):
    mine, theirs, a, b, random = both(name, {}, seed=3)
    for left_out in [(1, 3), (0,), (), (0, 1, 2, 3, 4), (2,)]:
        give_gradients(mine, theirs, random, "float32", left_out)
        a.step()
        b.step()
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, 2e-6)
    assert_same_states(a, b, 2e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_dict_of_pytorch_goes_on_here(name):
    mine, theirs, a, b, random = both(name, {}, seed=5)
    for _ in range(3):
        give_gradients(mine, theirs, random, "float32")
        b.step()
    mine = [mine_of(q.detach().numpy(), "float32").requires_grad_() for q in theirs]
    a = getattr(optim, name)(mine)
    saved = b.state_dict()
    for state in saved["state"].values():
        for key, value in list(state.items()):
            state[key] = mine_of(value.numpy(), "float32")
    a.load_state_dict(saved)
    theirs_again = getattr(pytorch.optim, name)(theirs, **({} if name == "Adafactor" else {"foreach": False}))
    for state in saved["state"].values():
        for key, value in list(state.items()):
            state[key] = theirs_of(numpy.array(value.tolist()), "float32")
    theirs_again.load_state_dict(saved)
    for _ in range(3):
        give_gradients(mine, theirs, random, "float32")
        a.step()
        theirs_again.step()
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, 2e-6)


@pytest.mark.parametrize("name", [*OPTIMIZERS, *({"LBFGS"} & set(optim.__all__))])
def test_signatures_are_the_same(name):
    mine, theirs = (
        [(p.name, p.default, p.kind) for p in inspect.signature(getattr(of, name).__init__).parameters.values()]
        for of in (optim, pytorch.optim)
    )
    assert mine == theirs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_printing_is_the_same(name):
    _, _, a, b, _ = both(name, {})
    lines = [line for line in str(b).split("\n") if "foreach" not in line]
    assert [line for line in str(a).split("\n") if "foreach" not in line] == lines
