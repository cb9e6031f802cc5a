"""Views share memory and have gradients; what needs a copy says so."""

import numpy as np
import pytest

import mashal as torch
from mashal.autograd import gradcheck, gradgradcheck

A = np.arange(24.0).reshape(2, 3, 4)
SAME = {
    "reshape": (lambda x: x.reshape(4, -1), lambda a: a.reshape(4, -1)),
    "view": (lambda x: x.view(6, 4), lambda a: a.reshape(6, 4)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, -1)),
    "T of a matrix": (lambda x: x[0].T, lambda a: a[0].T),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(1, 2)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "squeeze": (lambda x: x[:1].squeeze(0), lambda a: a[0]),
    "expand": (lambda x: x.expand(5, -1, -1, -1), lambda a: np.broadcast_to(a, (5, 2, 3, 4))),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    "unflatten": (lambda x: x.unflatten(2, (2, -1)), lambda a: a.reshape(2, 3, 2, 2)),
    "narrow": (lambda x: x.narrow(2, 1, 2), lambda a: a[:, :, 1:3]),
    "select": (lambda x: x.select(1, -1), lambda a: a[:, -1]),
    "movedim": (lambda x: x.movedim(0, 2), lambda a: np.moveaxis(a, 0, 2)),
    "diagonal": (lambda x: x.diagonal(1, 1, 2), lambda a: a.diagonal(1, 1, 2)),
    "unfold": (lambda x: x.unfold(2, 3, 1), lambda a: np.lib.stride_tricks.sliding_window_view(a, 3, 2)),
    "as_strided": (lambda x: x.as_strided((2, 2), (4, 1), 3), lambda a: a.ravel()[[[3, 4], [7, 8]]]),
    "second of split": (lambda x: x.split(2, 1)[1], lambda a: a[:, 2:]),
    "last of chunk": (lambda x: x.chunk(3, 2)[1], lambda a: a[:, :, 2:]),
    "unbind": (lambda x: x.unbind(1)[1], lambda a: a[:, 1]),
}
COPIES = {
    "flip": (lambda x: x.flip(0, 2), lambda a: np.flip(a, (0, 2))),
    "roll": (lambda x: x.roll(1, 2), lambda a: np.roll(a, 1, 2)),
    "repeat": (lambda x: x.repeat(2, 1, 3), lambda a: np.tile(a, (2, 1, 3))),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), lambda a: np.repeat(a, 2, 1)),
    "rot90": (lambda x: x.rot90(), lambda a: np.rot90(a)),
    "reshape of a transpose": (lambda x: x.mT.reshape(2, 12), lambda a: a.swapaxes(1, 2).reshape(2, 12)),
}


@pytest.mark.parametrize("name", SAME)
def test_a_view_reads_the_same_memory(name):
    ours, numpys = SAME[name]
    x = torch.from_numpy(A.copy())
    y = ours(x)
    assert (y.numpy() == numpys(A)).all()
    x.fill_(-1.0)
    assert (y == -1).all()


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_has_memory_of_its_own(name):
    ours, numpys = COPIES[name]
    x = torch.from_numpy(A.copy())
    y = ours(x)
    x.zero_()
    assert (y.numpy() == numpys(A)).all()


@pytest.mark.parametrize("name", [*SAME, *COPIES])
def test_gradients_of_both_orders(name):
    ours, _ = (SAME | COPIES)[name]
    x = torch.from_numpy(A / 24).requires_grad_()

    def squared(x):
        return ours(x * 1) ** 2

    assert gradcheck(squared, (x,))
    assert gradgradcheck(squared, (x,))


@pytest.mark.parametrize("shape", [(300, 500), (3, 40, 50), (2, 17, 16, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int16", "complex128"])
def test_every_order_of_dimensions_is_copied(shape, dtype):
    a = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    for order in (range(len(shape)), reversed(range(len(shape))), [1, 0, *range(2, len(shape))]):
        order = tuple(order)
        assert (torch.from_numpy(a).permute(order).contiguous().numpy() == a.transpose(order)).all()


def test_a_view_that_needs_a_copy_is_refused():
    with pytest.raises(RuntimeError, match=r"view.*use reshape"):
        torch.zeros(2, 3).t().view(6)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.reshape(5), RuntimeError),
        (lambda x: x.transpose(0, 3), IndexError),
        (lambda x: x.permute(0, 1), RuntimeError),
        (lambda x: x.permute(0, 1, 1), RuntimeError),
        (lambda x: x.expand(2, 5, 4), RuntimeError),
        (lambda x: x.narrow(0, 1, 2), RuntimeError),
        (lambda x: x.select(0, 2), IndexError),
        (lambda x: x.split([1, 2]), RuntimeError),
        (lambda x: x.chunk(0), RuntimeError),
        (lambda x: x.as_strided((100,), (1,)), RuntimeError),
        (lambda x: x.unfold(0, 3, 1), RuntimeError),
        (lambda x: x.t(), RuntimeError),
    ],
)
def test_what_cannot_be_is_refused(call, error):
    with pytest.raises(error):
        call(torch.zeros(2, 3, 4))


def test_an_expanded_tensor_can_be_filled_but_not_written_to():
    x = torch.zeros(1, 2)
    x.expand(1000, 2).fill_(3.0)
    assert x.tolist() == [[3.0, 3.0]]
    with pytest.raises(RuntimeError, match="single memory location"):
        x.expand(3, 2).copy_(torch.zeros(3, 2))


def test_in_place_forms_change_how_the_tensor_reads():
    x = torch.arange(6).reshape(2, 3)
    assert x.t_().unsqueeze_(0).squeeze_(0).transpose_(0, 1).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_overlapping_memory_is_copied_as_if_all_at_once():
    x = torch.arange(6)
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
