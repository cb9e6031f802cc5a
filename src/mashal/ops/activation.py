"""Activations: the non-linear functions between the layers of a network.

At a kink the gradient is PyTorch's choice: 0 for relu at 0, and so on. Stated where the derived one would be nan or lose
digits at large arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import bool as bool_
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang import expression as e
from mashal.lang.complex import conjugate
from mashal.lang.expression import Expression, exp, expm1, gelu_cdf, log1p_exp, maximum, minimum, tanh, where
from mashal.ops.define import Pointwise, door, only_floating, pointwise, spelled
from mashal.ops.parts import narrow
from mashal.ops.views import reshape

EVERYWHERE = ("torch", "method", "in_place", "functional")
FUNCTIONAL = ("functional",)
FUNCTIONAL_IN_PLACE = ("functional", "in_place")


# ---------------------------------------------------------------- straight lines
def _refuse_bool(name: str) -> Callable[..., None]:
    def refuse(x: Tensor, **options: Any) -> None:
        if x.form.dtype is bool_:
            raise RuntimeError(message(name, "the input is a bool tensor", "it must be of numbers"))

    return refuse


@pointwise(where=EVERYWHERE, refuse=_refuse_bool("relu"))
def relu(x: Expression) -> Expression:
    """max(x, 0). The gradient at 0 is 0.

    >>> torch.relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return x if x.dtype.kind == "u" else maximum(x, 0)


@relu.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return where(y <= 0, 0, g)


@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE)
def leaky_relu(x: Expression, *, negative_slope: float = 0.01) -> Expression:
    """x above 0, negative_slope·x below."""
    return where(x > 0, x, x * negative_slope)


@pointwise(where=FUNCTIONAL_IN_PLACE, refuse=_refuse_bool("hardtanh"))
def hardtanh(x: Expression, *, min_val: float = -1.0, max_val: float = 1.0) -> Expression:
    """x, no less than min_val and no more than max_val; the gradient at and beyond both is 0."""
    return minimum(maximum(x, min_val), max_val)


@hardtanh.backward
def _(g: Expression, y: Expression, x: Expression, *, min_val: float, max_val: float) -> Expression:
    return where((x > min_val) & (x < max_val), g, 0)


@pointwise(where=FUNCTIONAL_IN_PLACE, refuse=_refuse_bool("relu6"))
def relu6(x: Expression) -> Expression:
    """x, no less than 0 and no more than 6."""
    return minimum(maximum(x, 0), 6)


@relu6.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return where((x > 0) & (x < 6), g, 0)


@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE)
def hardsigmoid(x: Expression) -> Expression:
    """x / 6 + ½, no less than 0 and no more than 1."""
    return minimum(maximum(x + 3, 0), 6) / 6


@hardsigmoid.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return where((x > -3) & (x < 3), g / 6, 0)


@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE)
def hardswish(x: Expression) -> Expression:
    """x·hardsigmoid(x)."""
    return x * minimum(maximum(x + 3, 0), 6) / 6


@hardswish.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return where(x <= -3, 0, where(x >= 3, g, g * (x / 3 + 0.5)))


@pointwise(only_floating, where=("torch", "method", "functional"))
def hardshrink(x: Expression, *, lambd: float = 0.5) -> Expression:
    """x, but 0 from -lambd to lambd."""
    return where((x >= -lambd) & (x <= lambd), 0, x)


@hardshrink.backward
def _(g: Expression, y: Expression, x: Expression, *, lambd: float) -> Expression:
    return where((x > lambd) | (x < -lambd), g, 0)


def _check_lambd(x: Tensor, *, lambd: float) -> None:
    if lambd < 0:
        raise RuntimeError(message("softshrink", f"lambd is {lambd}", "it must not be below 0"))


@pointwise(only_floating, where=FUNCTIONAL, refuse=_check_lambd)
def softshrink(x: Expression, *, lambd: float = 0.5) -> Expression:
    """x moved by lambd towards 0, and 0 from -lambd to lambd."""
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0))


@softshrink.backward
def _(g: Expression, y: Expression, x: Expression, *, lambd: float) -> Expression:
    return where((x > lambd) | (x < -lambd), g, 0)


@pointwise(where=EVERYWHERE, refuse=_refuse_bool("threshold"))
def threshold(x: Expression, *, threshold: float, value: float) -> Expression:
    """x where it is above threshold, elsewhere value."""
    return where(x <= threshold, value, x)


# ---------------------------------------------------------------- exponentials
@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE)
def elu(x: Expression, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Expression:
    """x above 0, alpha·(exp(x) - 1) below; x scaled before, the result after."""
    return where(x > 0, x * scale, expm1(x * input_scale) * (alpha * scale))


@elu.backward
def _(g: Expression, y: Expression, x: Expression, *, alpha: float, scale: float, input_scale: float) -> Expression:
    return g * where(x > 0, scale, exp(minimum(x, 0) * input_scale) * (alpha * scale * input_scale))


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@pointwise(only_floating, where=EVERYWHERE, node="EluBackward0")
def selu(x: Expression) -> Expression:
    """elu with the alpha and the scale that keep mean 0 and variance 1 from layer to layer."""
    return where(x > 0, x, expm1(x) * SELU_ALPHA) * SELU_SCALE


@selu.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return g * where(x > 0, SELU_SCALE, exp(minimum(x, 0)) * (SELU_ALPHA * SELU_SCALE))


@pointwise(only_floating, where=EVERYWHERE)
def celu(x: Expression, *, alpha: float = 1.0) -> Expression:
    """x above 0, alpha·(exp(x / alpha) - 1) below."""
    return where(x > 0, x, expm1(x * (1 / alpha)) * alpha)


@celu.backward
def _(g: Expression, y: Expression, x: Expression, *, alpha: float) -> Expression:
    return where(x > 0, g, g * exp(minimum(x * (1 / alpha), 0)))


@pointwise(only_floating, where=FUNCTIONAL)
def softplus(x: Expression, *, beta: float = 1.0, threshold: float = 20.0) -> Expression:
    """log(1 + exp(beta·x)) / beta; where beta·x is above threshold, x."""
    scaled = x * beta
    return where(scaled > threshold, x, (maximum(scaled, 0) + log1p_exp(scaled)) / beta)


@softplus.backward
def _(g: Expression, y: Expression, x: Expression, *, beta: float, threshold: float) -> Expression:
    scaled = x * beta
    return where(scaled > threshold, g, g * e.sigmoid(scaled))


@pointwise(only_floating, where=FUNCTIONAL, node="LogSigmoidBackward0")
def logsigmoid(x: Expression) -> Expression:
    """log(sigmoid(x)), finite however small that is.

    >>> F.logsigmoid(torch.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """
    return minimum(x, 0) - log1p_exp(x)


@logsigmoid.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    return g * e.sigmoid(-x)


# ---------------------------------------------------------------- gates
@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE)
def silu(x: Expression) -> Expression:
    """x·sigmoid(x), also called swish.

    >>> F.silu(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """
    return x * e.sigmoid(x)


@silu.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    s = e.sigmoid(x)
    return g * conjugate(s * (x * (1 - s) + 1))


@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE)
def mish(x: Expression) -> Expression:
    """x·tanh(log(1 + exp(x)))."""
    return x * _tanh_softplus(x)[0]


def _tanh_softplus(x: Expression) -> tuple[Expression, Expression]:
    """tanh(log(1 + u)) for u = exp(x), which is n / (n + 2) with n = u² + 2u, and u; above 20 it is 1."""
    u = exp(minimum(x, 20))
    n = u * (u + 2)
    return n / (n + 2), u


@mish.backward
def _(g: Expression, y: Expression, x: Expression) -> Expression:
    t, u = _tanh_softplus(x)
    half = (u + 1) / (u * (u + 2) + 2)  # 1 - t² = (2·half)²
    return g * (t + minimum(x, 20) * e.sigmoid(x) * (half * half * 4))


_ROOT, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _check_form(x: Tensor, *, approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise RuntimeError(message("gelu", f"approximate is {approximate!r}", "it must be 'none' or 'tanh'"))


@pointwise(only_floating, where=FUNCTIONAL_IN_PLACE, refuse=_check_form)
def gelu(x: Expression, *, approximate: str = "none") -> Expression:
    """Gaussian error linear unit: x·Φ(x), with Φ the normal distribution function.

    approximate: "none" is exact; "tanh" is within 5e-4 of it.

    >>> F.gelu(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    """
    if approximate == "none":
        return x * gelu_cdf(x)
    return x * 0.5 * (tanh((x + x * x * x * _CUBE) * _ROOT) + 1)


@gelu.backward
def _(g: Expression, y: Expression, x: Expression, *, approximate: str) -> Expression:
    if approximate == "none":
        return g * (gelu_cdf(x) + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)))
    near = minimum(maximum(x, -30), 30)  # beyond, tanh is ±1 and the second part 0 (not 0·∞)
    t = tanh((near + near * near * near * _CUBE) * _ROOT)
    slope = (near * near * (3 * _CUBE) + 1) * _ROOT
    return g * ((t + 1) * 0.5 + near * 0.5 * (1 - t * t) * slope)


# ---------------------------------------------------------------- with a second operand
_PRELU = Pointwise("prelu", lambda x, w: where(x > 0, x, w * x), only_floating, "PreluKernelBackward0")
_PRELU.gradients = lambda g, y, x, w: (where(x > 0, g, w * g), where(x > 0, 0, x * g))
_prelu = door(_PRELU)


@spelled(("torch", "method", "functional"))
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """input above 0, weight·input below.

    weight: one element, or one for each channel (dimension 1 of input).
    """
    f, w = input.form, weight.form
    if w.dtype is not f.dtype:
        wrong = f"input is of {f.dtype} and weight of {w.dtype}"
        raise RuntimeError(message("prelu", wrong, "both must be of one dtype"))
    if w.rank > 1:
        raise RuntimeError(message("prelu", f"weight has shape {tuple(w.shape)}", "it must have at most one dimension"))
    if w.numel != 1:
        channels = 1 if f.rank == 1 else f.shape[1] if f.rank else 0
        if w.numel != channels:
            wrong = f"input {tuple(f.shape)} has {channels} channels and weight {w.numel} elements"
            raise RuntimeError(message("prelu", wrong, "weight must have 1 element or one for each channel"))
        if f.rank > 2:
            weight = reshape(weight, (-1, *(1,) * (f.rank - 2)))
    elif w.rank:
        weight = reshape(weight, ())
    return _prelu(input, weight)


_GLU = Pointwise("glu", lambda a, b: a * e.sigmoid(b), only_floating, "GluBackward0")


def _glu_gradients(g: Expression, y: Expression, a: Expression, b: Expression) -> tuple:
    s = e.sigmoid(b)
    return g * s, g * a * s * (1 - s)


_GLU.gradients = _glu_gradients
_glu = door(_GLU)


@spelled(FUNCTIONAL)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along dim times sigmoid of the second.

    >>> F.glu(torch.tensor([2.0, 4.0, 0.0, 0.0]))
    tensor([1., 2.])
    """
    f = input.form
    if not f.rank:
        raise RuntimeError(message("glu", "the input has no dimensions", "glu does not support 0-d tensors"))
    if not -f.rank <= dim < f.rank:
        bounds = f"[{-f.rank}, {f.rank - 1}]"
        raise IndexError(f"glu: Dimension out of range (expected to be in range of {bounds}, but got {dim})")
    size = f.shape[dim]
    if size % 2:
        wrong = f"dimension {dim} of {tuple(f.shape)} has size {size}"
        raise RuntimeError(message("glu", wrong, "the halving dimension must be even"))
    return _glu(narrow(input, dim, 0, size // 2), narrow(input, dim, size // 2, size // 2))
