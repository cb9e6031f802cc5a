"""Python's own pickle and copy, and processes that are sent what is trained."""

import copy
import multiprocessing
import pickle

import pytest

import mashal as torch
from mashal import nn


def things():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    return {
        "tensor": torch.arange(6.0).reshape(2, 3),
        "view": torch.arange(6.0).reshape(2, 3).t(),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "leaf": torch.ones(2, requires_grad=True),
        "parameter": nn.Parameter(torch.ones(2, 2)),
        "frozen": nn.Parameter(torch.ones(2), requires_grad=False),
        "buffer": nn.Buffer(torch.zeros(2)),
        "module": module,
        "state": module.state_dict(),
    }


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, nn.Module):
        return str(a) == str(b) and same(a.state_dict(), b.state_dict())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    alike = (a.shape, a.stride(), a.dtype, a.requires_grad) == (b.shape, b.stride(), b.dtype, b.requires_grad)
    return alike and bool((a == b).all())


@pytest.mark.parametrize("name", things())
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_pickle_gives_the_same_again(name, protocol):
    thing = things()[name]
    assert same(pickle.loads(pickle.dumps(thing, protocol)), thing)


@pytest.mark.parametrize("name", things())
def test_a_deep_copy_is_the_same_elsewhere(name):
    thing = things()[name]
    made = copy.deepcopy(thing)
    assert same(made, thing)
    tensors = list(made.parameters()) if isinstance(made, nn.Module) else [made] if name != "state" else made.values()
    before = thing.parameters() if isinstance(thing, nn.Module) else [thing] if name != "state" else thing.values()
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(tensors, before))


@pytest.mark.parametrize("kind", [torch.Tensor, nn.Parameter, torch.Size, torch.Generator, torch.dtype, nn.Linear])
def test_classes_are_pickled_by_name(kind):
    assert pickle.loads(pickle.dumps(kind)) is kind


def sum_of(module, x, answers):
    answers.put([float(module(x).sum()), float(sum(p.sum() for p in module.parameters()))])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_module_is_sent_to_a_process(method):
    context = multiprocessing.get_context(method)
    module, x, answers = nn.Linear(3, 2), torch.ones(4, 3), context.Queue()
    child = context.Process(target=sum_of, args=(module, x, answers))
    child.start()
    found = answers.get(timeout=60)
    child.join(60)
    expected = [float(module(x).sum()), float(sum(p.sum() for p in module.parameters()))]
    assert found == pytest.approx(expected, rel=1e-5)
