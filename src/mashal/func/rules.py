"""Rules for functions of one tensor of many: those that take dims, those that work on last dimensions, those of each element.

Most say only which of a few manners a function has; the manners are the functions of this file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from mashal import linalg, ops
from mashal.core.tensor import Tensor
from mashal.func.batching import RULES, VmapError, is_batched, levels, rewrap, size_of, value_of, whole, wrap
from mashal.func.kinds import broadcasting_rule, in_place_rule, moved
from mashal.nn import functional as F
from mashal.ops.interception import original_of, watch
from mashal.ops.table import DEFINITIONS


def _functions(names: str, places: Iterable[Any] = (ops, F, Tensor)) -> list[Any]:
    """The functions of these names, wherever they are found."""
    found: list[Any] = []
    for name in names.split():
        here = [vars(place).get(name) for place in places]
        definition = DEFINITIONS.get(name)
        if definition is not None:
            here += [definition.function, definition.operator, definition.extra.get("method")]
        found += [f for f in here if callable(f) and f not in found]
    return found


def rule(names: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the rule of all functions of these names."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        for function in _functions(names):
            RULES[function] = body
        return body

    return register


def bound(function: Any, args: tuple, kwargs: dict) -> dict[str, Any]:
    """A call's arguments by name, those that were given."""
    signature = inspect.signature(function)
    return dict(signature.bind(*args, **kwargs).arguments)


def only_first(level: int, args: tuple, kwargs: dict) -> bool:
    """Whether nothing but the first argument is one of many."""
    rest = [*args[1:], *kwargs.values()]
    flat = [y for x in rest for y in (x if isinstance(x, (tuple, list)) else (x,))]
    return bool(args) and is_batched(args[0], level) and not any(is_batched(x, level) for x in flat)


# ---------------------------------------------------------------- the value as it is
@rule("""clone contiguous to type float double half bfloat16 long int short char byte bool cfloat cdouble chalf cpu detach
         real imag conj resolve_conj resolve_neg conj_physical view_as_real view_as_complex relu nan_to_num round
         alias_copy positive requires_grad_ polygamma mvlgamma clamp_min clamp_max frexp data""")
def as_it_is(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    if not only_first(level, args, kwargs):
        return broadcasting_rule(level, function, args, kwargs)
    return rewrap(function(args[0].value, *args[1:], **kwargs), level)


@rule("type_as")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    return (
        rewrap(function(*(value_of(x, level) for x in args)), level)
        if is_batched(args[0], level)
        else args[0].to(args[1].dtype)
    )


@rule("zeros_like ones_like empty_like full_like new_zeros new_ones new_empty new_full")
def filled(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """New tensors are of many too, so that they can be written into."""
    if not only_first(level, args, kwargs):
        return NotImplemented
    x, size = args[0], size_of(level)
    if function.__name__.endswith("_like"):
        return rewrap(function(x.value, *args[1:], **kwargs), level)
    shape = kwargs.pop("size", None) or args[1]
    more = args[2:]
    if isinstance(shape, int):
        shape, more = args[1:], ()
    return rewrap(function(x.value, (size, *shape), *more, **kwargs), level)


# ---------------------------------------------------------------- functions that broadcast
rule("""where clamp add sub rsub div true_divide floor_divide rdiv remainder fmod pow float_power lerp addcmul addcdiv ldexp
        complex polar __add__ __sub__ __mul__ __truediv__ __floordiv__ __mod__ __pow__""")(broadcasting_rule)
rule("""add_ sub_ mul_ div_ pow_ clamp_ clamp_min_ clamp_max_ copy_ fill_ zero_ lerp_ addcmul_ addcdiv_ remainder_
        fmod_ floor_divide_ true_divide_ float_power_ nan_to_num_ round_ relu_ sigmoid_ tanh_ leaky_relu_ elu_ hardtanh_""")(
    in_place_rule
)


# ---------------------------------------------------------------- functions along dims
@rule("""softmax log_softmax softmin cumsum cumprod logcumsumexp cummax cummin sort argsort topk kthvalue mode flip diff glu
         normalize logsumexp var std var_mean std_mean max min aminmax median nanmedian quantile nanquantile
         vector_norm norm linalg_norm count_nonzero squeeze narrow chunk split unflatten tensor_split trapezoid
         repeat_interleave msort split_with_sizes_copy""")
def along(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """dim counts one more dimension in front."""
    if not only_first(level, args, kwargs):
        return NotImplemented
    x = args[0]
    try:
        given = bound(function, args, kwargs)
    except TypeError:
        return NotImplemented
    first = next(iter(given))
    name = next((n for n in ("dim", "dims", "axis") if n in inspect.signature(function).parameters), None)
    if name is None or x.form.rank == 0 or given.get("out") is not None:
        return NotImplemented
    dim = given.get(name, inspect.signature(function).parameters[name].default)
    if name == "dims" and isinstance(dim, tuple) and len(dim) == 1 and isinstance(dim[0], (tuple, list)):
        dim = tuple(dim[0])
    if not (isinstance(dim, int) or isinstance(dim, (tuple, list)) and dim):
        return NotImplemented
    given.pop(first)
    given[name] = moved(dim, x)
    positional = [n for n, p in inspect.signature(function).parameters.items() if p.kind is p.VAR_POSITIONAL]
    if positional:
        return rewrap(function(x.value, given[name]), level)
    return rewrap(function(x.value, **given), level)


@rule("repeat")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    x, *times = args
    times = tuple(times[0]) if len(times) == 1 and isinstance(times[0], (tuple, list)) else tuple(times)
    value = x.value.reshape((x.value.shape[0], *(1,) * (len(times) - x.form.rank), *x.shape))
    return wrap(value.repeat(1, *times), level)


@rule("roll")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, shifts, dims = args[0], given["shifts"], given.get("dims")
    if dims is None or dims == ():
        flat = x.value.reshape((x.value.shape[0], -1))
        return wrap(flat.roll(shifts, 1).reshape(x.value.shape), level)
    return wrap(x.value.roll(shifts, moved(dims, x)), level)


# ---------------------------------------------------------------- functions of the last dimensions
@rule("tril triu adjoint mT diag_embed one_hot pixel_shuffle pixel_unshuffle")
def behind(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """Any dimensions in front are batches to the function anyway."""
    if not only_first(level, args, kwargs):
        return NotImplemented
    return rewrap(function(args[0].value, *args[1:], **kwargs), level)


def solved(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """A x = b with one of both of many; a right side of rank 1 becomes a column."""
    a, b = args[:2]
    column = function.__name__ == "solve" and b.form.rank == 1
    b = b.unsqueeze(-1) if column else b
    rank = max(a.form.rank, b.form.rank)
    if a.form.rank != rank or b.form.rank != rank:
        return NotImplemented
    y = wrap(function(whole(a, level), whole(b, level), *args[2:], **kwargs), level)
    return y.squeeze(-1) if column else y


for _name in ("solve", "solve_triangular"):
    if hasattr(linalg, _name):
        RULES[getattr(linalg, _name)] = solved
for _name in """cholesky cholesky_ex det slogdet logdet inv inv_ex pinv qr svd svdvals eig eigh eigvals eigvalsh matrix_exp matrix_power lu
                lu_factor""".split():
    _function = getattr(linalg, _name, None)
    if _function is not None:
        RULES[_function] = behind


@rule("diag_embed")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    d1, d2 = given.get("dim1", -2), given.get("dim2", -1)
    rank = args[0].form.rank + 1
    return wrap(args[0].value.diag_embed(given.get("offset", 0), d1 % rank + 1, d2 % rank + 1), level)


@rule("pad constant_pad_nd")
def _(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    given = bound(function, args, kwargs)
    x, widths = args[0], given["pad"]
    if given.get("mode", "constant") == "constant":
        return (
            wrap(function(x.value, *args[1:], **kwargs), level) if only_first(level, args, kwargs) else NotImplemented
        )
    spatial = len(widths) // 2
    lead = x.value.shape[: x.value.ndim - spatial - 1]
    y = function(x.value.reshape((-1, *x.value.shape[len(lead) :])), *args[1:], **kwargs)
    return wrap(y.reshape((*lead, *y.shape[1:])), level)


# ---------------------------------------------------------------- functions of batches of images
@rule("""avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d lp_pool1d lp_pool2d
         max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
         max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices interpolate upsample unfold_images fold
         group_norm instance_norm local_response_norm channel_shuffle""")
def merged(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """The samples' batches as one batch; a sample without one is an element of it."""
    if not only_first(level, args, kwargs):
        return NotImplemented
    x = args[0]
    spatial = next((int(c) for c in function.__name__ if c.isdigit()), None)
    alone = {"unfold": 3, "fold": 2}.get(function.__name__) if spatial is None else spatial + 1
    if x.form.rank == alone:
        return rewrap(function(x.value, *args[1:], **kwargs), level)
    return unmerged(function(x.value.flatten(0, 1), *args[1:], **kwargs), x.value.shape[:2], level)


def unmerged(result: Any, lead: Any, level: int) -> Any:
    """A batch of all samples' batches, divided again."""
    if isinstance(result, tuple):
        return type(result)(unmerged(y, lead, level) for y in result)
    return wrap(result.unflatten(0, tuple(lead)), level)


# ---------------------------------------------------------------- random numbers
RANDOM = """rand randn randint randperm normal rand_like randn_like randint_like bernoulli poisson multinomial
            binomial dropout alpha_dropout feature_dropout feature_alpha_dropout rrelu uniform_
            normal_ random_ bernoulli_ exponential_ geometric_ cauchy_ log_normal_ dropout_
            dropout1d dropout2d dropout3d gumbel_softmax"""


def draws(function: Any, args: tuple, kwargs: dict) -> bool:
    """Whether a call takes random numbers: not a dropout that is off."""
    if "dropout" not in function.__name__ and function.__name__ != "rrelu":
        return True
    given = bound(function, args, kwargs)
    names = inspect.signature(function).parameters
    training = next((given.get(n, names[n].default) for n in ("training", "train") if n in names), True)
    return bool(training) and given.get("p", 1) != 0


def draw(function: Any, original: Any, args: tuple, kwargs: dict) -> Any:
    """A random function inside vmap: refused, drawn once for all samples, or for each."""
    level, size, randomness = levels.open[-1]
    if not draws(function, args, kwargs):
        return original(*args, **kwargs)
    if randomness == "error":
        raise VmapError(
            f"vmap: called random operation {function.__name__} while in randomness error mode; pass randomness='different' for other "
            "numbers in each sample, or 'same' for the same ones"
        )
    before, watch.last = watch.last, None
    try:
        if randomness == "same":
            return original(*args, **kwargs)
        return _drawn_for_each(original, args, kwargs, level, size)
    finally:
        watch.last = before


def _drawn_for_each(original: Any, args: tuple, kwargs: dict, level: int, size: int) -> Any:
    name = original.__name__
    if args and isinstance(args[0], Tensor):
        if name.endswith("_"):
            raise VmapError(f"vmap: {name} cannot write the numbers of many samples into one tensor; make a new one")
        return rewrap(original(args[0].unsqueeze(0).expand((size, *args[0].shape)), *args[1:], **kwargs), level)
    if name in ("randperm", "normal"):
        return wrap(ops.stack([original(*args, **kwargs) for _ in range(size)]), level)
    if "size" in kwargs:
        return wrap(original(*args, **kwargs | {"size": (size, *kwargs["size"])}), level)
    numbers = args[:-1] if name == "randint" else ()
    shape = args[-1] if args and isinstance(args[-1], (tuple, list)) else args[len(numbers) :]
    return wrap(original(*numbers, (size, *shape), **kwargs), level)


@rule(RANDOM)
def drawn(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    """Random numbers in the shape of a tensor of many."""
    randomness = next(r for number, _, r in levels.open if number == level)
    if only_first(level, args, kwargs) and not draws(function, args, kwargs):
        return rewrap(function(args[0].value, *args[1:], **kwargs), level)
    if randomness == "error":
        return draw(function, function, args, kwargs)
    if not only_first(level, args, kwargs):
        return NotImplemented
    before, watch.last = watch.last, None
    try:
        return _drawn_alike(randomness, original_of(function), args, kwargs, level)
    finally:
        watch.last = before


def _drawn_alike(randomness: str, function: Any, args: tuple, kwargs: dict, level: int) -> Any:
    x, name = args[0], function.__name__
    if name.endswith("_"):
        if randomness == "same":
            sample = x.value[0].clone()
            function(sample, *args[1:], **kwargs)
            x.value.copy_(sample.expand_as(x.value))
        else:
            function(x.value, *args[1:], **kwargs)
        return x
    if randomness == "different" and name != "multinomial":
        return rewrap(function(x.value, *args[1:], **kwargs), level)
    if name.endswith("_like"):
        return function(x.value[0], *args[1:], **kwargs)
    if "dropout" in name and "alpha" not in name:
        return x * function(ops.ones(x.shape, dtype=x.dtype, device=x.device), *args[1:], **kwargs)
    return NotImplemented


@rule("nonzero nonzero_static argwhere masked_select unique unique_consecutive bincount allclose equal is_nonzero")
def dynamic(level: int, function: Any, args: tuple, kwargs: dict) -> Any:
    raise VmapError(
        f"vmap: the result of {function.__name__} has another size (or is another decision) in every sample"
    )


NAMED_RANDOM = set(_functions(RANDOM))
