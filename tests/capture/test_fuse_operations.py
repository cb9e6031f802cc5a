"""Every operation between pointwise ones: fused with its neighbours it keeps every bit."""

import pytest

import mashal as torch
from capture.steps import compared
from mashal.capture.recorder import Recorder
from mashal.ops.define import DEFINITIONS
from ops.samples import calls_of
from ops.test_definitions import ABOUT_MEMORY, NAMES, RANDOM, UNDEFINED


@pytest.mark.parametrize("name", [x for x in NAMES if x not in RANDOM | UNDEFINED | ABOUT_MEMORY | {"chalf"}])
def test_an_operation_fused_with_its_neighbours_keeps_its_bits(name):
    call = calls_of(name)[-1].map(lambda x: x.detach().to(torch.float32) if x.is_floating_point() else x)
    try:
        _between(call, name)
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError):
        return  # not for these dtypes, or not for an operand that is computed
    with Recorder(call.tensors()) as recorder:
        results = _between(call, name)
    if recorder.obstacles or recorder.unlasting or any(x.is_sparse for x in results):
        return
    compared(recorder.trail, [recorder.value(x) for x in results])


def _between(call, name):
    """The results of an operation on operands that are computed, and what is computed of them."""
    computed = {id(x): x * 1.0 if x.is_floating_point() else x for x in call.tensors()}
    made = []
    for x in _tensors(call.map(lambda x: computed[id(x)]).of(DEFINITIONS[name])):
        made.append(x)
        if x.is_floating_point() and not x.is_sparse:
            made += [x * 2 - 1, (x * x).sum()]
    return made


def _tensors(x):
    if isinstance(x, torch.Tensor):
        return [x]
    return [y for part in x for y in _tensors(part)] if isinstance(x, (tuple, list)) else []
