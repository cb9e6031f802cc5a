"""Complex numbers: the elementary functions against NumPy's, gradients by differences, products of matrices."""

import numpy as np
import pytest

import mashal as torch


def log1p(z):
    """NumPy's own loses the digits of small numbers."""
    near = np.log1p(z.real * (2 + z.real) + z.imag**2) / 2
    return np.where(abs(z) < 0.5, near, np.log(abs(1 + z))) + 1j * np.arctan2(z.imag, 1 + z.real)


ROUNDED = {"acosh", "tan", "tanh", "expm1", "sigmoid", "exp", "exp2", "sinh", "cosh", "sin", "cos"}
"""Parts are products of functions whose arguments are large here."""
FUNCTIONS = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": log1p,
    "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "reciprocal": lambda z: 1 / z, "abs": np.abs, "angle": np.angle, "rsqrt": lambda z: 1 / np.sqrt(z),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "square": np.square,
}  # fmt: skip


def grid(*sizes):
    """Every pair of parts, in all four quadrants and on both sides of the axes."""
    parts = [sign * size for size in sizes for sign in (1.0, -1.0)]
    a, b = np.meshgrid(parts, parts)
    made = np.empty(a.size, "complex128")
    made.real, made.imag = a.ravel(), b.ravel()
    return made


def random(*shape, dtype=torch.complex128):
    rng = np.random.default_rng(4)
    return torch.from_numpy(rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).to(dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("d, tolerance", [("complex128", 1e-13), ("complex64", 2e-6)])
def test_elementary_functions_are_those_of_numpy(name, d, tolerance):
    z = grid(1e-9, 0.1, 0.5, 1.0, 2.0, 7.0, 30.0) if name != "tan" else grid(1e-9, 0.1, 0.5, 1.0, 2.0, 7.0)
    z = z.astype(d)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](z.astype("complex128"))
    got = getattr(torch, name)(torch.from_numpy(z)).numpy()
    whole = np.dtype(d).itemsize
    assert (got.dtype.kind, got.itemsize) == (expected.dtype.kind, whole // (1 + (expected.dtype.kind == "f")))
    error = abs(got - expected) / np.maximum(abs(expected), 1e-6)
    assert error.max() < tolerance * (40 if name in ROUNDED else 8)


@pytest.mark.parametrize("name", ["sqrt", "log", "asin", "acos", "atan", "asinh", "acosh", "atanh"])
def test_the_sign_of_zero_chooses_the_side_of_a_cut(name):
    z = grid(0.0, 0.5, 2.0)
    z = z[(z.real != 0) | (z.imag != 0)]
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](z)
    got = getattr(torch, name)(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"abs", "angle"} | {"sinc", "abs", "angle", "sgn"}))
def test_gradients_of_complex_functions(name):
    assert torch.autograd.gradcheck(getattr(torch, name), (random(6) * 0.6).requires_grad_())
    assert torch.autograd.gradgradcheck(getattr(torch, name), (random(6) * 0.6).requires_grad_())


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -0.5, -1, -2, 2.5, 1.5 + 0.5j])
def test_gradients_of_powers(exponent):
    assert torch.autograd.gradcheck(lambda z: z**exponent, random(6).requires_grad_())


def test_gradients_of_a_complex_power():
    assert torch.autograd.gradcheck(torch.pow, (random(6).requires_grad_(), random(6).conj().detach().requires_grad_()))


def test_powers_of_zero():
    zero = torch.zeros(1, dtype=torch.complex128)
    assert (zero**2).item() == 0 and (zero**0).item() == 1
    z = zero.clone().requires_grad_()
    (z**2).real.sum().backward()
    assert z.grad.item() == 0


@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "var", "std", "cumsum", "cumprod", "logsumexp", "logcumsumexp", "norm"]
)
def test_reductions_have_gradients(name):
    call = getattr(torch, name)
    along = (lambda z: call(z, dim=1)) if name != "norm" else call
    assert torch.autograd.gradcheck(along, random(3, 4).requires_grad_())


@pytest.mark.parametrize("shapes", [((3, 4), (4, 2)), ((2, 3, 4), (4, 2)), ((4,), (4, 2)), ((3, 4), (4,)), ((4,), (4,)),
                                    ((2, 1, 3, 4), (5, 4, 2))])  # fmt: skip
def test_products_of_complex_matrices(shapes):
    a, b = random(*shapes[0]), random(*shapes[1])
    np.testing.assert_allclose((a @ b).numpy(), a.numpy() @ b.numpy(), atol=1e-12)
    assert torch.autograd.gradcheck(torch.matmul, (a.requires_grad_(), b.requires_grad_()))


def test_linear_maps_of_complex_numbers():
    operands = (random(3, 4).requires_grad_(), random(2, 4).requires_grad_(), random(2).requires_grad_())
    assert torch.autograd.gradcheck(torch.nn.functional.linear, operands)


def test_a_complex_number_keeps_its_digits():
    x = torch.ones(2, dtype=torch.complex128)
    assert (x * (0.1 + 0.2j))[0].item() == 0.1 + 0.2j
    assert (torch.ones(2) * (0.1 + 0.2j)).dtype is torch.complex64
    assert (torch.ones(2, dtype=torch.float64) * 0.1j)[0].item() == 0.1j


def test_a_loss_of_complex_numbers_is_real():
    x, y = random(5).requires_grad_(), random(5).conj().detach()
    loss = torch.nn.functional.l1_loss(x, y)
    assert loss.dtype is torch.float64
    loss.backward()
    assert x.grad.dtype is torch.complex128


def test_division_by_zero_and_by_infinity():
    z = torch.tensor([1 + 2j, 3 - 4j, -1j], dtype=torch.complex128)
    with np.errstate(all="ignore"):
        by_zero = (z / 0).numpy()
    assert (
        by_zero[0] == complex(np.inf, np.inf) and by_zero[1] == complex(np.inf, -np.inf) and np.isnan(by_zero[2].real)
    )
    assert (z / float("inf")).tolist() == [0j, 0j, 0j]
    huge = torch.tensor([1e300 + 1e300j], dtype=torch.complex128)
    assert (huge / huge).item() == 1


def test_complex_numbers_at_equal_distances():
    np.testing.assert_allclose(torch.linspace(0, 1 + 1j, 5).numpy(), np.linspace(0, 1 + 1j, 5), rtol=1e-6)
    np.testing.assert_allclose(torch.logspace(0, 1j, 3).numpy(), np.logspace(0, 1j, 3), rtol=1e-6)
    assert torch.linspace(0, 1j, 3, dtype=torch.complex128)[-1].item() == 1j
    with pytest.raises(RuntimeError, match="can't be safely cast"):
        torch.linspace(0, 1j, 3, dtype=torch.float32)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_there_is_no_larger_complex_number(name):
    with pytest.raises(RuntimeError, match="not implemented for 'ComplexDouble'") as error:
        getattr(torch, name)(random(2), random(2))
    assert type(error.value) is RuntimeError


def test_what_complex_numbers_have_not():
    with pytest.raises(RuntimeError, match="complex"):
        torch.sort(random(2))
    with pytest.raises(NotImplementedError):
        torch.unique(random(2))
    with pytest.raises(NotImplementedError):
        random(2) // 2
    with pytest.raises(NotImplementedError):
        torch.nn.functional.mse_loss(random(2), random(2))
    with pytest.raises(RuntimeError, match="In-place abs is not supported"):
        random(2).abs_()
    with pytest.raises(RuntimeError, match="without overflow"):
        float(torch.tensor(1 + 1j))
    assert float(torch.tensor(1 + 0j)) == 1.0
