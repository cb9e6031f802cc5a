"""mashal held against PyTorch on the inputs that PyTorch's own tests use: results, gradients, errors.

Everything with `make parity`; with MASHAL_PEERS=rotating, as on every change, the eighth part whose turn it is this day.
"""

import datetime
import itertools
import os

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's inputs need expecttest")

import mashal  # noqa: E402
from parity.peers import (  # noqa: E402
    DIFFERENT,
    DIFFERENT_IN_HALVES,
    EVERYTHING,
    OTHER,
    Peer,
    assert_alike,
    draws,
    here,
    outcome,
    peers,
)

SAMPLES, PARTS = 6, 8
TURN = datetime.date.today().toordinal() % PARTS
ROTATING = os.environ.get("MASHAL_PEERS") == "rotating"
PEERS = [peer for i, peer in enumerate(peers()) if not ROTATING or i % PARTS == TURN]

each = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)


def samples(peer, dtype, requires_grad=False):
    """The first samples of a dtype, spread over the first 48; none where PyTorch has none."""
    if dtype not in peer.info.supported_dtypes("cpu"):
        return []
    made, _ = outcome(
        lambda: list(itertools.islice(peer.info.sample_inputs("cpu", dtype, requires_grad=requires_grad), 48))
    )
    made = [s for s in made or [] if sum(x.numel() for x in tensors((s.input, s.args, s.kwargs))) < 100_000]
    return made[:: max(1, len(made) // SAMPLES)]


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [x for item in value for x in tensors(item)] if isinstance(value, (list, tuple)) else []


def called(peer: Peer, sample):
    """(mashal's result, PyTorch's), None where PyTorch itself raises or draws random numbers."""
    theirs = lambda: peer.info.op(sample.input, *sample.args, **sample.kwargs)
    if draws(theirs):
        return None
    memo = {}
    mine, args, kwargs = here(sample.input, memo), here(sample.args, memo), here(sample.kwargs, memo)
    expected, error = outcome(theirs)
    return None if error is not None else (peer.function(mine, *args, **kwargs), expected, memo)


@each
@pytest.mark.parametrize("dtype", [*EVERYTHING, *OTHER], ids=str)
def test_results(peer, dtype):
    if peer.name in DIFFERENT and peer.name != "as_strided_scatter":
        pytest.skip(DIFFERENT[peer.name])
    if peer.name in DIFFERENT_IN_HALVES and dtype in (torch.float16, torch.bfloat16):
        pytest.skip(DIFFERENT_IN_HALVES[peer.name])
    for sample in samples(peer, dtype):
        both = called(peer, sample)
        if both is not None:
            assert_alike(both[0], both[1])


@each
def test_gradients(peer):
    if peer.name in DIFFERENT or not peer.info.supports_autograd:
        pytest.skip(DIFFERENT.get(peer.name, "has no gradient"))
    for sample in samples(peer, torch.float64, requires_grad=True):
        both = called(peer, sample)
        leaves = [x for x in tensors((sample.input, sample.args, sample.kwargs)) if x.requires_grad]
        if both is None or not leaves:
            continue
        mine, theirs, memo = both
        results = [y for y in tensors(theirs) if y.requires_grad]
        own = [y for y in mashal.utils._pytree.tree_leaves(mine) if isinstance(y, mashal.Tensor) and y.requires_grad]
        assert len(own) == len(results)
        if results:
            expected = torch.autograd.grad([y.abs().sum() for y in results], leaves, allow_unused=True)
            found = mashal.autograd.grad([y.abs().sum() for y in own], [memo[id(x)] for x in leaves], allow_unused=True)
            for i, (a, b) in enumerate(zip(found, expected)):
                if a is not None and b is not None:
                    assert_alike(a, b, f"gradient {i}")


@each
def test_errors(peer):
    if peer.info.error_inputs_func is None:
        pytest.skip("no inputs that are errors")
    for wrong in peer.info.error_inputs("cpu"):
        sample = wrong.sample_input
        given, untranslatable = outcome(lambda sample=sample: here((sample.input, sample.args, sample.kwargs)))
        _, expected = outcome(lambda sample=sample: peer.info.op(sample.input, *sample.args, **sample.kwargs))
        if untranslatable is not None or expected is None or isinstance(expected, NotImplementedError):
            continue
        if any(x.dim() > 64 for x in tensors((sample.input, sample.args))):
            continue  # PyTorch's own limit
        input, args, kwargs = given
        _, error = outcome(lambda input=input, args=args, kwargs=kwargs: peer.function(input, *args, **kwargs))
        kind = next(k for k in type(expected).__mro__ if k.__module__ == "builtins")
        assert isinstance(error, kind), f"{type(error).__name__} and not {kind.__name__} for {sample}: {error}"
        assert len(str(error)) > 10
