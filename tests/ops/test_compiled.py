"""Eager and compiled side by side: every operation's samples give the same bits, recorded, replayed, and with gradients.

A compiled call is made three times: the first is recorded, the second and third are replays on other numbers.
"""

import pytest

import mashal as torch
from mashal.ops.define import DEFINITIONS
from ops.samples import calls_of
from ops.test_definitions import NAMES, UNDEFINED, outcome

READING = set(
    """
    allclose argwhere bincount cholesky cholesky_ex cholesky_inverse
    cholesky_solve cond det eig eigh eigvals eigvalsh equal geqrf householder_product inv inv_ex inverse is_nonzero
    ldl_factor ldl_factor_ex ldl_solve linalg_cholesky linalg_lu linalg_lu_solve linalg_qr linalg_slogdet linalg_svd
    lobpcg logdet lstsq lu lu_factor lu_factor_ex lu_solve lu_unpack masked_select matrix_exp matrix_power matrix_rank
    nonzero nonzero_static normal one_hot multinomial orgqr ormqr pca_lowrank pinv pinverse qr
    repeat_interleave segment_reduce from_file slogdet solve solve_ex solve_triangular svd svd_lowrank svdvals tensorinv tensorsolve
    triangular_solve histogramdd tril_indices triu_indices unique unique_consecutive stft istft getitem
""".split()
)
"""They look at values in Python (LAPACK's, or because the result's shape depends on them), so they run as they are written."""


def other(factor):
    """Changes a tensor to a fresh one with other numbers, laid out alike."""

    def change(x):
        y = (
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
            if 0 not in x.stride()
            else torch.empty(x.shape, dtype=x.dtype)
        )
        y.copy_(x.detach() * factor if x.is_floating_point() or x.is_complex() else x.detach())
        return y.requires_grad_(x.requires_grad)

    return change


def tensors(result):
    """The tensors in a result."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in tensors(part)]
    return []


def same_bits(a, b, strides=True):
    a, b = tensors(a), tensors(b)
    assert len(a) == len(b)
    for x, y in zip(a, b):
        assert x.shape == y.shape and x.dtype is y.dtype and (not strides or x.stride() == y.stride())
        assert x.requires_grad == y.requires_grad
        if x.numel() and not x.is_meta:
            assert torch.equal(torch.nan_to_num(x.detach(), 7.0), torch.nan_to_num(y.detach(), 7.0))


@pytest.mark.parametrize("name", sorted(set(NAMES) - UNDEFINED))
def test_compiled_calls_give_the_same_bits(name):
    function = DEFINITIONS[name].function
    for sample in calls_of(name):
        torch.compiler.reset()
        fast = torch.compile(lambda *args, **options: function(*args, **options))
        for factor in (1.0, 0.97, 0.93):
            here, there = sample.map(other(factor)), sample.map(other(factor))
            torch.manual_seed(1)
            expected = outcome(function, here)
            torch.manual_seed(1)
            found = outcome(fast, there)
            same_bits(expected, found)
            same_bits(here.args, there.args)
        assert fast.recordings.all or name in READING or name.endswith(("fft", "fft2", "fftn")), fast.recordings.refusal


@pytest.mark.parametrize("name", sorted(set(NAMES) - UNDEFINED))
def test_compiled_calls_give_the_same_gradients(name):
    function = DEFINITIONS[name].function

    def gradients(call, function):
        leaves = [x.requires_grad_() for x in tensors(call.args) if x.is_floating_point()]
        torch.manual_seed(1)
        try:
            results = [y for y in tensors(outcome(function, call)) if y.requires_grad and y.is_floating_point()]
        except RuntimeError:  # in place on a leaf
            return None
        if not results or not leaves:
            return None
        given = [torch.ones(y.shape, dtype=y.dtype) for y in results]
        return torch.autograd.grad(results, leaves, given, allow_unused=True)

    for sample in calls_of(name):
        fast = torch.compile(lambda *args, **options: function(*args, **options))
        for factor in (1.0, 0.97, 0.93):
            expected = gradients(sample.map(other(factor)), function)
            found = gradients(sample.map(other(factor)), fast)
            assert (expected is None) == (found is None)
            if expected is not None:
                same_bits([g for g in expected if g is not None], [g for g in found if g is not None], strides=False)
