"""Random tensors: the factories, and the methods that fill a tensor in place.

Elements are made in the order of their memory, the largest stride outermost; so `x.t().uniform_()` gives x the
numbers that `x.uniform_()` would. `ops.filling` chooses the kernel, `core.generator` holds the streams.

In the order of this file: filling in place, factories, templates (`*_like`), tensors of chances (`bernoulli`,
`multinomial` …). Every function takes `generator=`; without one the default generator is drawn from.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from mashal.core import tape
from mashal.core.devices import device as device_of
from mashal.core.devices import get_default_device, usable
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import float64, get_default_dtype, int64
from mashal.core.forms import Form, form, like
from mashal.core.generator import Generator, default_generator
from mashal.core.shapes import broadcast
from mashal.core.tensor import Tensor, bump, empty, new_view
from mashal.errors import message
from mashal.ops import filling

Fill = Callable[..., Any]


# ---------------------------------------------------------------- filling in place
def uniform_(
    x: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None, **names: float
) -> Tensor:
    """Fills x with numbers from the half-open range [from, to); returns x.

    x: any shape, floating or complex (both parts are filled).

    >>> _ = torch.manual_seed(123)
    >>> torch.empty(2).uniform_(-1, 1)
    tensor([-0.4078,  0.0331])
    """
    low, high = float(names.get("from", a)), float(names.get("to", b))
    kind = _floating("uniform_", x, or_complex=True)
    if not low <= high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    for name, bound in (("from", low), ("to", high)):
        if not abs(bound) <= _largest(kind):
            raise RuntimeError(
                f"uniform_: {name} is out of bounds for {kind}: {bound:g}; its numbers end at {_largest(kind):g}"
            )
    if high - low > _largest(kind):
        raise RuntimeError(
            f"uniform_: to - from is {high - low:g}; a range of {kind} is at most {_largest(kind):g} wide"
        )
    return _filled(x, "Uniform", filling.fill_uniform, generator, low, high)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with normal numbers of this mean and standard deviation; returns x.

    x: any shape, floating or complex (std is then that of the complex number, not of its parts).
    """
    _floating("normal_", x, or_complex=True)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if x.dtype.is_complex:
        std = std / math.sqrt(2)
    return _filled(x, "Normal", filling.fill_normal, generator, mean, std, **({} if x.form.contiguous else _SERIAL))


_SERIAL = {"contiguous": False}


def random_(x: Tensor, *bounds: int | None, generator: Generator | None = None, **names: int | None) -> Tensor:
    """Fills x with whole numbers: random_(from, to) from the range from … to - 1, random_(to) from 0 … to - 1, random_()
    from 0 … the largest that x's dtype holds exactly, random_(from, None) from `from` … that one. Returns x.
    """
    low, high = _random_bounds(bounds, names)
    kind = x.dtype
    if kind.is_complex:
        raise RuntimeError(message("random_", f"whole numbers of dtype {kind} are not defined", "x must be real"))
    if low is None and high is None:
        if kind.name in ("uint16", "uint32", "uint64"):
            raise NotImplementedError(message("random_", f"dtype {kind} needs bounds", "say random_(from, to)"))
        return _filled(x, "Random", filling.fill_any_integers, generator)
    low = 0 if low is None else low
    if high is None:
        _check_whole("random_", kind, low, low + 1)
        if low == -(2**63) or low <= filling.largest_whole(kind.name):
            return _filled(x, "Random", filling.fill_integers_from, generator, low)
        high = low
    check_range("random_", kind, low, high)
    return _filled(x, "Random", filling.fill_integers, generator, low, high)


def _random_bounds(bounds: tuple, names: dict) -> tuple[int | None, int | None]:
    low, high = names.get("from"), names.get("to")
    if len(bounds) == 1 and "to" not in names:
        low, high = (bounds[0], names["to"]) if "to" in names else (low, bounds[0])
    elif bounds:
        low, high = (*bounds, high)[:2]
    if len(bounds) > 2:
        raise TypeError(message("random_", f"{len(bounds)} bounds were given", "say random_(to) or random_(from, to)"))
    return tuple(None if b is None else _whole("random_", "a bound", b) for b in (low, high))  # type: ignore[return-value]


def bernoulli_(x: Tensor, p: float | Tensor = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills x with ones of probability p, else zeros; p is a number or a tensor that expands to x's shape. Returns x."""
    if isinstance(p, Tensor):
        return _bernoulli_each(x, p, generator)
    if x.dtype.is_complex:
        raise NotImplementedError(message("bernoulli_", f"coins of dtype {x.dtype} are not defined", "x must be real"))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    return _filled(x, "Bernoulli", filling.fill_bernoulli, generator, p)


def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with numbers of the exponential distribution of rate lambd; returns x. x: floating."""
    if not x.dtype.is_floating_point:
        raise RuntimeError(_continuous("exponential_", "Exponential", x))
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return _filled(x, "Exponential", filling.fill_exponential, generator, lambd)


def geometric_(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fills x with the number of throws until the first success of probability p (1, 2, …); returns x."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if x.dtype.is_complex or x.dtype.kind == "b":
        raise NotImplementedError(
            message("geometric_", f"counts of dtype {x.dtype} are not defined", "x must be a number")
        )
    return _filled(x, "Geometric", filling.fill_geometric, generator, p)


def cauchy_(x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with numbers of the Cauchy distribution; returns x. x: floating."""
    if not x.dtype.is_floating_point:
        raise RuntimeError(_continuous("cauchy_", "Cauchy", x))
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return _filled(x, "Cauchy", filling.fill_cauchy, generator, median, sigma)


def log_normal_(x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fills x with exp of normal numbers of this mean and standard deviation; returns x. x: floating."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    _floating("log_normal_", x)
    return _filled(x, "LogNormal", filling.fill_log_normal, generator, mean, std)


# ---------------------------------------------------------------- factories
def rand(*size: Any, **options: Any) -> Tensor:
    """Uniform numbers from [0, 1). size: integers, or one sequence of them.

    Options of all factories here: generator, out, dtype, layout, device, requires_grad, pin_memory.

    >>> _ = torch.manual_seed(123)
    >>> torch.rand(3)
    tensor([0.2961, 0.5166, 0.2517])
    """
    return _made("rand", size, options, uniform_)


def randn(*size: Any, **options: Any) -> Tensor:
    """Standard normal numbers. size: integers, or one sequence of them.

    >>> _ = torch.manual_seed(123)
    >>> torch.randn(3)
    tensor([-2.3166, -0.1232,  0.7762])
    """
    return _made("randn", size, options, normal_)


def randint(*bounds_and_size: Any, low: int = 0, high: int | None = None, size: Any = None, **options: Any) -> Tensor:
    """Whole numbers from low … high - 1: randint(high, size) or randint(low, high, size), int64 if no dtype is given.

    >>> _ = torch.manual_seed(123)
    >>> torch.randint(0, 10, (4,))
    tensor([2, 9, 2, 6])
    """
    given = list(bounds_and_size)
    if size is None:
        if not given or not isinstance(given[-1], (tuple, list)):
            raise TypeError(
                message("randint", "no size was given", "say randint(low, high, size), size a tuple of ints")
            )
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if given:
        low = given.pop()
    if given or high is None:
        raise TypeError(
            message("randint", "the bounds are not clear", "say randint(high, size) or randint(low, high, size)")
        )
    low, high = _whole("randint", "low", low), _whole("randint", "high", high)
    options["dtype"] = options.get("dtype") or getattr(options.get("out"), "dtype", int64)
    return _made("randint", (size,), options, random_, low, high)


def randperm(n: int, **options: Any) -> Tensor:
    """0 … n - 1 in random order; int64 if no dtype is given.

    >>> _ = torch.manual_seed(123)
    >>> torch.randperm(5).shape
    torch.Size([5])
    """
    if isinstance(n, (bool, float)):
        raise TypeError(f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    n = _whole("randperm", "n", n)
    wanted = options.pop("dtype", None) or getattr(options.get("out"), "dtype", int64)
    if wanted.is_complex or wanted.kind == "b":
        raise NotImplementedError(
            message("randperm", f"numbers 0 … n - 1 of dtype {wanted} are not defined", "use an integer one")
        )
    if n - 1 > filling.largest_whole(wanted.name):
        raise RuntimeError(
            message(
                "randperm", f"n = {n} is too large for {wanted}", f"it counts to {filling.largest_whole(wanted.name)}"
            )
        )
    if wanted is int64:
        return _made("randperm", (n,), {**options, "dtype": int64}, _permute)
    result = options.pop("out", None)
    drawn = _made("randperm", (n,), {"dtype": int64, "generator": options.pop("generator", None)}, _permute)
    if result is None:
        result = _made("randperm", (n,), {**options, "dtype": wanted}, lambda x, generator: x)
    with tape.no_grad():
        return result.resize_((n,)).copy_(drawn) if tuple(result.shape) != (n,) else result.copy_(drawn)


def _permute(x: Tensor, *, generator: Generator | None) -> Tensor:
    return _filled(x, "Randperm", lambda g, address, kind, n: filling.fill_permutation(g, address, n), generator)


def normal(
    mean: float | Tensor = 0.0, std: float | Tensor = 1.0, size: Any = None, *, generator: Generator | None = None,
    out: Tensor | None = None, **options: Any,
) -> Tensor:  # fmt: skip
    """Normal numbers whose mean, or standard deviation, or both, are tensors; or of a given size.

    mean, std: numbers, or tensors that broadcast; size: for two numbers only.
    """
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError(
                message("normal", "mean and std are numbers, and no size was given", "say normal(mean, std, size)")
            )
        return _made("normal", (size,), {**options, "out": out, "generator": generator}, normal_, mean, std)
    if not isinstance(std, Tensor):
        shape, kind = mean.shape, mean.dtype  # type: ignore[union-attr]
        result = normal_(_result("normal", shape, kind, mean.device, out), 0.0, std, generator=generator)
    else:
        shape = broadcast("normal", mean.shape, std.shape) if isinstance(mean, Tensor) else std.shape
        kind = (mean if isinstance(mean, Tensor) else std).dtype
        if std.dtype.is_complex or (std.numel() and not bool((std >= 0).all())):
            raise RuntimeError("normal expects all elements of std >= 0.0")
        result = normal_(_result("normal", shape, kind, std.device, out), generator=generator)
    with tape.no_grad():
        return (result.mul_(std) if isinstance(std, Tensor) else result).add_(mean)


# ---------------------------------------------------------------- like a template
def rand_like(input: Tensor, **options: Any) -> Tensor:
    """Uniform numbers from [0, 1) in the shape, dtype, device and strides of input."""
    return _made_like("rand_like", input, options, uniform_)


def randn_like(input: Tensor, **options: Any) -> Tensor:
    """Standard normal numbers in the shape, dtype, device and strides of input."""
    return _made_like("randn_like", input, options, normal_)


def randint_like(input: Tensor, *bounds: int, low: int = 0, high: int | None = None, **options: Any) -> Tensor:
    """Whole numbers in the shape, dtype, device and strides of input: randint_like(x, high), randint_like(x, low, high)."""
    low, high = (low, *bounds) if len(bounds) == 1 else (*bounds, low, high)[:2]
    if high is None:
        raise TypeError(message("randint_like", "no upper bound was given", "say randint_like(input, low, high)"))
    return _made_like(
        "randint_like",
        input,
        options,
        random_,
        _whole("randint_like", "low", low),
        _whole("randint_like", "high", high),
    )


# ---------------------------------------------------------------- tensors of chances
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """1 with each element's own probability, else 0, in input's dtype; with p, 1 with that probability.

    input: probabilities from 0 to 1, floating, any shape.
    """
    result = _result("bernoulli", input.shape, input.dtype, input.device, out)
    return bernoulli_(result, input if p is None else p, generator=generator)


def _bernoulli_each(x: Tensor, p: Tensor, generator: Generator | None) -> Tensor:
    if not p.dtype.is_floating_point:
        raise NotImplementedError(message("bernoulli", f"probabilities of dtype {p.dtype}", "they must be floating"))
    if x.form.contiguous:
        chances = p.expand(x.shape).contiguous() if p.shape != x.shape else p.contiguous()
    else:
        chances = _ordered(p.expand(x.shape), x.form).contiguous()

    def fill(g: Generator, address: int, kind: str, n: int) -> None:
        position = filling.fill_bernoulli_each(g, address, kind, n, chances.data_ptr(), p.dtype.name)
        if position >= 0:
            wrong = float(chances.reshape(-1)[position])
            raise RuntimeError(
                f"bernoulli: Expected p_in >= 0 && p_in <= 1 to be true, but probability {wrong:g} is outside [0, 1]"
            )

    return _filled(x, "Bernoulli", fill, generator)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers with the rates in input, in its dtype. input: floating, any shape, >= 0."""
    _floating("poisson", input)

    def fill(g: Generator, address: int, kind: str, n: int) -> None:
        position = filling.fill_poisson(g, address, kind, n, rates.data_ptr())
        if position >= 0:
            wrong = float(rates.reshape(-1)[position])
            raise RuntimeError(
                f"invalid Poisson rate, expected rate to be non-negative: it is {wrong:g} at element {position}"
            )

    rates = input.detach().contiguous()
    return _filled(_result("poisson", input.shape, input.dtype, input.device), "Poisson", fill, generator)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` throws succeed, each with probability `prob`; the two broadcast. float32 or float64."""
    for name, x in (("count", count), ("prob", prob)):
        if x.dtype.name not in ("float32", "float64") or x.dtype is not count.dtype:
            raise ValueError(
                message("binomial", f"{name} has dtype {x.dtype}", "both must be float32, or both float64")
            )
    shape = broadcast("binomial", count.shape, prob.shape)
    n, p = (x.detach().expand(shape).contiguous() for x in (count, prob))
    fill = lambda g, address, kind, size: filling.fill_binomial(g, address, kind, size, n.data_ptr(), p.data_ptr())
    return _filled(_result("binomial", shape, count.dtype, count.device), "Binomial", fill, generator)


def _standard_gamma(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Gamma numbers of scale 1 with the shapes in input. input: float32 or float64, > 0."""
    if input.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(message("_standard_gamma", f"dtype {input.dtype}", "it must be float32 or float64"))
    shapes = input.detach().contiguous()
    fill = lambda g, address, kind, n: filling.fill_gamma(g, address, kind, n, shapes.data_ptr())
    return _filled(_result("_standard_gamma", input.shape, input.dtype, input.device), "StandardGamma", fill, generator)


def _sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Shares that sum to 1 over the last dimension, of the Dirichlet distribution with the concentrations in input."""
    drawn = _standard_gamma(input.to(float64), generator)
    tiny, below_one = (2.0**-1022, 1 - 2.0**-53) if input.dtype is float64 else (2.0**-126, 1 - 2.0**-24)
    return (drawn / drawn.sum(-1, keepdim=True)).to(input.dtype).clamp(tiny, below_one)


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
    return drawn if out is None else _result("multinomial", drawn.shape, int64, input.device, out).copy_(drawn)


def _with_replacement(weights: Tensor, samples: int, generator: Generator | None, out: Tensor | None) -> Tensor:
    *rows, categories = weights.shape
    weights = weights.contiguous()
    kind, count = weights.dtype.name, math.prod(rows)

    def fill(g: Generator, address: int, _kind: str, _n: int) -> None:
        position = filling.fill_multinomial(g, address, weights.data_ptr(), kind, count, categories, samples)
        if position >= count * categories:
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        if position >= 0:
            raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0, infinity or NaN)")

    return _filled(_result("multinomial", (*rows, samples), int64, weights.device, out), "Multinomial", fill, generator)


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
    if not bool(((weights >= 0) & (weights < math.inf)).all()):
        raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if not bool((weights.sum(-1) > 0).all()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def dropout_factor(input: Tensor, p: float, generator: Generator | None = None) -> Tensor:
    """What dropout multiplies with: 1 / (1 - p) with probability 1 - p, else 0; like input. 0 < p < 1."""
    noise = empty(like(input.form))
    one = 1.0 / (1.0 - p) if input.dtype is float64 else 1.0 / filling.as_float32(1.0 - p)
    return _filled(noise, "Bernoulli", filling.fill_bernoulli, generator, 1.0 - p, one)


# ---------------------------------------------------------------- how a tensor is filled
def _filled(x: Tensor, name: str, fill: Fill, generator: Generator | None, *numbers: float, **choices: Any) -> Tensor:
    """x, after fill(generator, address, dtype, n, *numbers) has filled it in memory order."""
    generator = default_generator if generator is None else generator
    if not isinstance(generator, Generator):
        raise TypeError(
            message(name.lower(), f"generator is a {type(generator).__name__}", "it must be a torch.Generator")
        )
    if x.node is not None and tape.wants_gradient(x):
        _forget_history(x, name)
    of = x.form
    if of.numel and of.device.type != "meta":
        if of.dense:
            _fill_dense(x, fill, generator, numbers, choices)
        else:
            _fill_scattered(x, fill, generator, numbers, choices)
    bump(x)
    return x


def _fill_dense(x: Tensor, fill: Fill, generator: Generator, numbers: tuple, choices: dict) -> None:
    kind, parts = (x.dtype.to_real(), 2) if x.dtype.is_complex else (x.dtype, 1)
    fill(generator, x.data_ptr(), kind.name, x.numel() * parts, *numbers, **choices)


def _fill_scattered(x: Tensor, fill: Fill, generator: Generator, numbers: tuple, choices: dict) -> None:
    if any(step == 0 and size > 1 for step, size in zip(x.stride(), x.shape)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    view = _ordered(x, x.form)
    values = empty(form(x.dtype, x.device, view.shape))
    _fill_dense(values, fill, generator, numbers, choices)
    with tape.no_grad():
        view.copy_(values)


def _ordered(x: Tensor, by: Form) -> Tensor:
    """x with its dimensions sorted by the strides of a form of the same shape, the largest first."""
    order = sorted(range(by.rank), key=lambda d: -by.strides[d])
    steps = x.form.strides
    return new_view(x, x.form.viewed(tuple(x.shape[d] for d in order), tuple(steps[d] for d in order)), x.offset)


def _forget_history(x: Tensor, name: str) -> None:
    """What x was doesn't matter any more: its gradient ends here, as zero."""
    if x.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    kind = type(f"{name}Backward0", (tape.Node,), {"__slots__": (), "backward": lambda node, g: (None,)})
    x.node, x.output = kind(tape.edges(x), None), 0


def _made(name: str, size: tuple, options: dict, fill: Callable[..., Tensor], *numbers: Any) -> Tensor:
    generator, wants = options.pop("generator", None), options.pop("requires_grad", False)
    sizes = options.pop("size", size)
    if sizes is not size:
        sizes = (sizes,)
    x = _result(name, _sizes(name, sizes), **options)
    with tape.no_grad():
        fill(x, *numbers, generator=generator)
    return x.requires_grad_() if wants else x


def _made_like(name: str, template: Tensor, options: dict, fill: Callable[..., Tensor], *numbers: Any) -> Tensor:
    generator, wants = options.pop("generator", None), options.pop("requires_grad", False)
    order = str(options.pop("memory_format", None) or "preserve")
    kind, place = options.pop("dtype", None) or template.dtype, options.pop("device", None)
    of = like(template.form, kind)
    if place is not None or "contiguous" in order:
        place = template.device if place is None else usable(device_of(place))
        of = form(kind, place, template.shape, None if "contiguous" in order else of.strides)
    with tape.no_grad():
        x = fill(empty(of), *numbers, generator=generator)
    return x.requires_grad_() if wants else x


def _result(
    name: str, shape: Any, dtype: DType | None = None, device: Any = None, out: Tensor | None = None, layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor for results: out, resized if need be, or a new contiguous one."""
    if out is not None:
        if dtype is not None and out.dtype is not dtype:
            raise RuntimeError(message(name, f"out has dtype {out.dtype}", f"the result has dtype {dtype}"))
        return out if tuple(out.shape) == tuple(shape) else out.resize_(tuple(shape))
    if pin_memory:
        raise RuntimeError(message(name, "pin_memory=True needs an accelerator", "there is none; leave it out"))
    place = usable(device_of(device)) if device is not None else usable(get_default_device())
    return empty(form(dtype or get_default_dtype(), place, tuple(shape)))


def _sizes(name: str, size: tuple) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    for n in size:
        if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
            raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(n).__name__}")
    return tuple(operator.index(n) for n in size)


# ---------------------------------------------------------------- what is refused
def check_range(name: str, kind: DType, low: int, high: int) -> None:
    """RuntimeError unless low < high, and low and high - 1 are numbers of the dtype."""
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    _check_whole(name, kind, low, high)


def _check_whole(name: str, kind: DType, low: int, high: int) -> None:
    smallest, largest = filling.whole_range(kind.name)
    for what, bound in (("from", low), ("to - 1", high - 1)):
        if not smallest <= bound <= largest:
            raise RuntimeError(f"{name}: {what} is out of bounds for {kind}: {bound} is outside {smallest} … {largest}")


def _floating(name: str, x: Tensor, or_complex: bool = False) -> DType:
    kind = x.dtype.to_real() if or_complex else x.dtype
    if not kind.is_floating_point:
        right = "it must be floating or complex" if or_complex else "it must be floating"
        raise NotImplementedError(message(name, f"the tensor's dtype is {x.dtype}", right))
    return kind


def _continuous(name: str, distribution: str, x: Tensor) -> str:
    return (
        f"{name}: {distribution} distribution is a continuous probability distribution. dtype must be a floating point but "
        f"you specified {x.dtype}"
    )


def _largest(kind: DType) -> float:
    return filling.LARGEST[kind.name]


def _whole(name: str, what: str, x: Any) -> int:
    try:
        return operator.index(x)
    except TypeError:
        raise TypeError(message(name, f"{what} is a {type(x).__name__}", "it must be an int")) from None
