"""Random tensors whose distribution differs from element to element: tensors of probabilities, rates, weights."""

from __future__ import annotations

import math
from typing import Any

from mashal.core.dtypes import float64, int64
from mashal.core.forms import form, like
from mashal.core.generator import Generator
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor, address, empty
from mashal.errors import message
from mashal.lang import expression as e
from mashal.ops import filling
from mashal.ops.define import RecordedNode, pointwise, recorded, spelled
from mashal.ops.define import floating as in_floating
from mashal.ops.keeping import granted
from mashal.ops.random import bernoulli_, drawn, exponential_, filled, floating
from mashal.ops.random_factories import result_of


# ---------------------------------------------------------------- tensors of chances
@spelled()
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """1 with each element's own probability, else 0, in input's dtype; with p, 1 with that probability.

    input: probabilities from 0 to 1, floating, any shape.
    """
    result = result_of("bernoulli", input.shape, input.dtype, input.device, out)
    bernoulli_(result, input.detach() if p is None else p, generator=generator)
    return drawn("BernoulliBackward0", result, input) if out is None and p is None else result


@spelled(("torch",))
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers with the rates in input, in its dtype. input: floating, any shape, >= 0."""
    floating("poisson", input)
    rates = input.detach().contiguous()
    result = result_of("poisson", input.shape, input.dtype, input.device)
    try:
        return drawn("PoissonBackward0", filled(result, "Poisson", filling.poisson, generator, address(rates)), input)
    except filling.Refused as refused:
        wrong = float(rates.reshape(-1)[refused.position])
        raise RuntimeError(
            f"invalid Poisson rate, expected rate to be non-negative: it is {wrong:g} at element {refused.position}"
        ) from None


@spelled(("torch",))
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` throws succeed, each with probability `prob`; the two broadcast. float32 or float64."""
    for name, x in (("count", count), ("prob", prob)):
        if x.dtype.name not in ("float32", "float64") or x.dtype is not count.dtype:
            raise ValueError(
                message("binomial", f"{name} has dtype {x.dtype}", "both must be float32, or both float64")
            )
    shape = broadcast("binomial", count.shape, prob.shape)
    n, p = (x.detach().expand(shape).contiguous() for x in (count, prob))
    result = result_of("binomial", shape, count.dtype, count.device)
    return filled(result, "Binomial", filling.binomial, generator, address(n), address(p))


@pointwise(in_floating, where=("torch",), name="_standard_gamma_grad")
def _standard_gamma_grad(shape: e.Expression, sample: e.Expression) -> e.Expression:
    """How gamma samples of scale 1 move when their shape does: dx/da."""
    return e.apply("gamma_path", shape, sample)


@pointwise(in_floating, where=("torch",), name="_dirichlet_grad")
def _dirichlet_grad(x: e.Expression, alpha: e.Expression, total: e.Expression) -> e.Expression:
    """How a share x of a Dirichlet sample moves when its concentration alpha of `total` does, over 1 - x."""
    return e.apply("beta_path", x, alpha, total - alpha) / (1 - x)


@spelled(("torch",), name="_standard_gamma")
@recorded("StandardGammaBackward0")
def _standard_gamma(input: Tensor, generator: Generator | None = None) -> Any:
    """Gamma numbers of scale 1 with the shapes in input; its gradient is how samples move with them.

    input: float32 or float64, > 0.
    """
    result = _gamma_numbers(input, generator)
    return result, (input, result)


@_standard_gamma.backward
def _(node: RecordedNode, g: Tensor) -> tuple:
    shape, sample = node.kept()
    return (g * _standard_gamma_grad(shape, sample),)


def _gamma_numbers(input: Tensor, generator: Generator | None) -> Tensor:
    if input.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(message("_standard_gamma", f"dtype {input.dtype}", "it must be float32 or float64"))
    shapes = input.detach().contiguous()
    result = result_of("_standard_gamma", input.shape, input.dtype, input.device)
    return filled(result, "StandardGamma", filling.gamma, generator, address(shapes))


@spelled(("torch",), name="_sample_dirichlet")
@recorded("SampleDirichletBackward0")
def _sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Any:
    """Shares that sum to 1 over the last dimension, of the Dirichlet distribution with the concentrations in input."""
    drawn = _gamma_numbers(input.to(float64), generator)
    tiny, below_one = (2.0**-1022, 1 - 2.0**-53) if input.dtype is float64 else (2.0**-126, 1 - 2.0**-24)
    result = (drawn / drawn.sum(-1, keepdim=True)).to(input.dtype).clamp(tiny, below_one)
    return result, (input, result)


@_sample_dirichlet.backward
def _(node: RecordedNode, g: Tensor) -> tuple:
    alpha, x = node.kept()
    path = _dirichlet_grad(x, alpha, alpha.sum(-1, keepdim=True).expand_as(alpha))
    return (path * (g - (x * g).sum(-1, keepdim=True)),)


@spelled()
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices of categories, drawn by their weights; int64, (num_samples,) or (rows, num_samples).

    input: weights >= 0, floating, (categories,) or (rows, categories); they need not sum to 1.
    replacement: whether a category may be drawn more than once.
    """
    _check_multinomial(input, num_samples, replacement, out)
    weights = input.detach()
    if replacement and num_samples > 1:
        return _with_replacement(weights, num_samples, generator, out)
    _check_weights(weights)
    waits = exponential_(empty(like(weights.form)), generator=generator)
    arrivals = weights / waits
    if num_samples == 1:
        drawn = arrivals.argmax(-1, keepdim=True)
    else:
        drawn = arrivals.topk(num_samples, dim=-1)[1]
    return drawn if out is None else result_of("multinomial", drawn.shape, int64, input.device, out).copy_(drawn)


def _with_replacement(weights: Tensor, samples: int, generator: Generator | None, out: Tensor | None) -> Tensor:
    *rows, categories = weights.shape
    weights, count = weights.contiguous(), math.prod(rows)
    room = empty(form(float64, weights.device, (categories,)))
    result = result_of("multinomial", (*rows, samples), int64, weights.device, out)
    addresses = address(weights), address(room)
    try:
        return filled(
            result, "Multinomial", filling.multinomial, generator, *addresses, weights.dtype.name, count, categories
        )
    except filling.Refused as refused:
        what = (
            "sum of probabilities <= 0"
            if refused.position >= count * categories
            else "encountering probability entry < 0"
        )
        raise RuntimeError(f"invalid multinomial distribution ({what})") from None


def _check_multinomial(input: Tensor, samples: int, replacement: bool, out: Tensor | None) -> None:
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}")
    if out is not None and out.dtype is not int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype}")
    if not 1 <= input.ndim <= 2:
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, not of shape {tuple(input.shape)}")
    if samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples ({samples} were asked for)")
    if not replacement and samples > input.shape[-1]:
        raise RuntimeError(
            "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
            f"{samples} were asked for, and there are {input.shape[-1]} categories"
        )


def _check_weights(weights: Tensor) -> None:
    if weights.numel() == 0:
        return
    if not granted(((weights >= 0) & (weights < math.inf)).all()):
        raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if not granted((weights.sum(-1) > 0).all()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
