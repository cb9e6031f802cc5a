"""einsum, tensordot, pad and windows: values and gradients are PyTorch's."""

import numpy as np
import pytest

import mashal

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("ij->ji", (2, 3)), ("ij->", (2, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)), ("i,j->ij", (2,), (3,)), ("ij,ij->i", (2, 3), (2, 3)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("bi,ijk,bk->bj", (2, 3), (3, 4, 5), (2, 5)),
    ("ijk,j->ik", (2, 3, 4), (3,)), ("i...,...j->...ij", (2, 3), (3, 4)), ("ij,jk->ki", (2, 1), (3, 4)),
]  # fmt: skip
PADS = [((1, 2), "constant"), ((1, 2, 3, 4), "constant"), ((-1, 2), "constant"), ((1, 2), "reflect"), ((1, 2, 2, 1), "reflect"),
        ((2, 2), "replicate"), ((1, 1, 2, 2), "circular")]  # fmt: skip


def held(compute, *arrays):
    """The result of a computation and the gradients of its sum of squares, in both libraries."""
    both = []
    for library in (mashal, torch):
        operands = [library.tensor(a).requires_grad_() for a in arrays]
        y = compute(library, *operands)
        (y * y).sum().backward()
        both.append([y.detach().numpy(), *(x.grad.numpy() for x in operands)])
    for mine, theirs in zip(*both):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def arrays(*shapes):
    random = np.random.default_rng(0)
    return [random.standard_normal(shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize(("equation", "shapes"), [(e, s) for e, *s in EQUATIONS])
def test_einsum(equation, shapes):
    held(lambda library, *x: library.einsum(equation, *x), *arrays(*shapes))


@pytest.mark.parametrize(("pad", "mode"), PADS)
def test_pad(pad, mode):
    held(
        lambda library, x: library.nn.functional.pad(x, pad, mode),
        *arrays((2, 3, 4, 5) if len(pad) == 4 else (3, 4, 5)),
    )


def test_tensordot_and_kron():
    held(lambda library, x, y: library.tensordot(x, y, ([0, 2], [0, 1])), *arrays((2, 3, 4), (2, 4, 5)))
    held(lambda library, x, y: library.kron(x, y), *arrays((2, 3), (4, 2)))
    held(lambda library, x, y: library.inner(x, y), *arrays((2, 3), (4, 3)))


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("length", [0, 1, 2, 9])
def test_windows(name, periodic, length):
    mine, theirs = (getattr(library, f"{name}_window")(length, periodic).numpy() for library in (mashal, torch))
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_wrong_equations_are_refused():
    x = mashal.ones(2, 3)
    for equation in ("ijk->i", "ij->ik", "i->i", "ij,jk->ik", "i1->i", "ij->ii"):
        with pytest.raises(RuntimeError, match="einsum"):
            mashal.einsum(equation, x)
