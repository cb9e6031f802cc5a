"""What every operation owes its definition: values, dtypes, layouts, spellings, documentation.

Each test runs once for every definition on the calls that samples.calls_of gives; what is particular about an operation is
said in a table with its reason. Gradients are in test_gradients.
"""

import inspect
import operator

import numpy as np
import pytest

import mashal as torch
from mashal.ops.define import DEFINITIONS, Pointwise
from ops.algebra_calls import ALGEBRA
from ops.fourier_calls import TRANSFORMS
from ops.references import NUMPY, numpy_call
from ops.samples import BITS, Call, calls_of, changed, every_second, transposed

SPARSE = set(
    """
    to_sparse sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor to_sparse_coo to_sparse_csr to_sparse_csc sparse_mask coalesce
    is_coalesced indices values sparse_compressed_tensor crow_indices col_indices ccol_indices row_indices
""".split()
)
"""What they give has no elements in memory; tests/core/test_sparse holds them."""
NAMES = sorted(set(DEFINITIONS) - {"cuda"} - SPARSE)
RANDOM = set(
    """
    rand randn randint randperm normal rand_like randn_like randint_like bernoulli poisson binomial _standard_gamma
    _sample_dirichlet multinomial uniform_ normal_ random_ bernoulli_ exponential_ geometric_ cauchy_ log_normal_ dropout
    dropout_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout feature_alpha_dropout_
    native_dropout rrelu rrelu_ gumbel_softmax svd_lowrank pca_lowrank lobpcg
""".split()
)
"""Values are drawn; tests/ops/test_random holds them."""
UNDEFINED = {
    "empty",
    "empty_like",
    "new_empty",
    "new_empty_strided",
    "empty_strided",
    "empty_permuted",
    "resize_",
    "resize_as_",
}
"""Values are whatever the memory holds."""
ABOUT_MEMORY = set(
    """
    view view_as as_strided as_strided_ is_contiguous view_as_complex view_as_real contiguous data_ptr stride view_copy
    as_strided_copy as_strided_scatter view_as_complex_copy storage_offset is_set_to untyped_storage from_numpy frombuffer
    set_ is_conj is_neg element_size detach_
""".split()
)
"""What they do depends on how the operand lies in memory, or they give no more than that."""
ABOUT_DTYPES = set(
    """
    float double half bfloat16 int long short char byte bool cfloat cdouble chalf to type type_as nextafter result_type
    promote_types can_cast typename element_size is_floating_point is_signed from_numpy
""".split()
)
"""The dtype is what they are about: results in another one are other results."""
WRAPPING = {
    "avg_pool1d",  # towards zero
    "avg_pool2d",
    "avg_pool3d",
    "interpolate",  # uint8 is rounded
    "upsample_bilinear",
    "gradient",
    "hash_tensor",
    "l1_loss",
    "full_like",
    "new_full",
    "index_fill",
    "scatter_reduce",
    "index_reduce",
    "diff",
    "trapezoid",
    "cumulative_trapezoid",
}
"""Integers wrap around or cut what floating numbers do not."""
REFUSED = {
    **dict.fromkeys(["complex", "polar", "view_as_complex", "view_as_complex_copy"], (torch.bfloat16,)),
    **dict.fromkeys(["quantile", "nanquantile"], (torch.float16, torch.bfloat16)),
}
"""Floating dtypes that PyTorch refuses too."""
REFUSED |= dict.fromkeys([*ALGEBRA, *TRANSFORMS], (torch.float16, torch.bfloat16))
JUMPS = {"floor_divide", "remainder", "fmod", "frac", "sign", "floor", "ceil", "trunc", "round"}
VALUES = [name for name in NAMES if name not in RANDOM | UNDEFINED]
FLOATING = [name for name in VALUES if name not in ABOUT_DTYPES | BITS]


def like(d=None):
    """Changes a tensor to a fresh copy, of a dtype if it is a floating one."""

    def change(x):
        y = (
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
            if 0 not in x.stride()
            else torch.empty(x.shape, dtype=x.dtype)
        )
        y.copy_(x.detach())
        return y.to(d) if d is not None and x.is_floating_point() else y

    return change


def outcome(function, call: Call):
    """What a call gives; the changed operand where it gives nothing."""
    given = call.of(function)
    return call.args[0] if given is None else given


def arrays(result) -> list[np.ndarray]:
    """The tensors and numbers of a result, as arrays."""
    if isinstance(result, torch.Tensor):
        x = result.detach()
        wide = x.double() if x.is_floating_point() else x.to(torch.complex128) if x.is_complex() else x
        return [wide.numpy()]
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in arrays(part)]
    if isinstance(result, (bool, int, float, complex)):
        return [np.asarray(result)]
    return [np.asarray(str(result))]


def kinds(result) -> list:
    """Shapes and dtypes of the tensors of a result."""
    if isinstance(result, torch.Tensor):
        return [(tuple(result.shape), result.dtype)]
    if isinstance(result, (tuple, list)):
        return [kind for part in result for kind in kinds(part)]
    return []


def assert_same(got, expected, rtol=0.0, atol=0.0):
    got, expected = arrays(got), arrays(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.shape == b.shape
        if a.dtype.kind in "US":
            assert a == b
        elif a.dtype.kind in "fc" and rtol + atol:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)


# ---------------------------------------------------------------- the table itself
@pytest.mark.parametrize("name", NAMES)
def test_has_samples(name):
    assert calls_of(name), f"{name}: add a line to tests/ops/sample_calls.py"


@pytest.mark.parametrize("name", NAMES)
def test_is_documented(name):
    assert (inspect.getdoc(DEFINITIONS[name].function) or "").strip()


# ---------------------------------------------------------------- values
@pytest.mark.parametrize("name", [name for name in VALUES if name in NUMPY])
def test_values_are_those_of_numpy(name):
    for call in calls_of(name):
        for d, tolerance in ((torch.float64, 1e-12), (torch.float32, 3e-5)):
            now = call.map(like(d))
            expected = numpy_call(name, now)
            assert_same(outcome(DEFINITIONS[name].function, now), expected, tolerance, tolerance)


@pytest.mark.parametrize("name", FLOATING)
@pytest.mark.parametrize("d, eps", [("float32", 1.2e-7), ("float16", 1e-3), ("bfloat16", 8e-3)])
def test_values_in_less_precision_are_near(name, d, eps):
    function = DEFINITIONS[name].function
    d = getattr(torch, d)
    for call in calls_of(name):
        if not call.floats() or d in REFUSED.get(name, ()):
            continue
        now = call.map(like(d))
        exact = now.map(like(torch.float64))
        got = outcome(function, now)
        for (shape, kind), (shape_64, kind_64) in zip(kinds(got), kinds(outcome(function, exact.map(like())))):
            assert shape == shape_64
            assert (
                kind == kind_64
                or (kind_64, kind) in ((torch.float64, d), (torch.float64, torch.float32))
                or kind.is_complex
            )
        if name not in JUMPS:
            assert_same(got, outcome(function, exact), 40 * eps, 12 * eps)


@pytest.mark.parametrize("name", [name for name in VALUES if isinstance(DEFINITIONS[name].operation, Pointwise)])
def test_extremes_are_the_same_in_every_lane(name):
    """What a vector of extremes gives is what each gives alone."""
    arity = DEFINITIONS[name].operation.arity
    if arity > 2 or name in BITS:
        return
    edge = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        5e-324,
        -1e-40,
        1e300,
        -1e300,
        1.0,
        -1.0,
        88.8,
        -104.0,
        0.5,
        2.0,
        1e-20,
        710.0,
    ]
    first = np.asarray(edge)
    extra = calls_of(name)[0].args[arity:]
    for d in (torch.float64, torch.float32):
        function = DEFINITIONS[name].function
        x = torch.from_numpy(first).to(d)
        pairs = [(x,)] if arity == 1 else [(x, torch.from_numpy(np.roll(first, k)).to(d)) for k in (0, 1, 5)]
        for operands in pairs:
            together = function(*operands, *extra)
            apart = [function(*[o[i] for o in operands], *extra) for i in range(len(edge))]
            assert_same(together, torch.stack(apart), 1e-15 if d is torch.float64 else 3e-7)
            if name in NUMPY and arity == 1:
                with np.errstate(all="ignore"):
                    expected = NUMPY[name](operands[0].numpy())
                assert_same(
                    together, torch.from_numpy(np.asarray(expected)), 1e-12 if d is torch.float64 else 1e-5, 1e-45
                )


# ---------------------------------------------------------------- integers
def whole(d):
    """Changes float tensors to small whole numbers of a dtype (bool: whether they are positive)."""

    def change(x):
        if not x.is_floating_point():
            return like()(x)
        if d is torch.bool:
            return torch.from_numpy(x.numpy() > 0)
        return torch.from_numpy(np.abs(np.rint(x.numpy() * 2)) + 1).to(d)

    return change


@pytest.mark.parametrize("name", [name for name in FLOATING if name not in ABOUT_MEMORY | WRAPPING])
@pytest.mark.parametrize("d", ["int64", "int32", "uint8", "int8", "bool"])
def test_integers_give_what_floating_numbers_give(name, d):
    """Small whole numbers are the same in every dtype; what an operation does not take it says."""
    function, d = DEFINITIONS[name].function, getattr(torch, d)
    for call in calls_of(name):
        if not any(x.is_floating_point() for x in call.tensors()):
            continue
        try:
            got = outcome(function, call.map(whole(d)))
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError) as error:
            assert len(str(error)) > 10
            continue
        exact = outcome(
            function, call.map(lambda x: whole(d)(x).to(torch.float64) if x.is_floating_point() else like()(x))
        )
        if (
            any(k in (torch.uint8, torch.int8, torch.bool) for _, k in kinds(got))
            and kinds(exact)[0][1] is not torch.bool
        ):
            expected = [np.asarray(a) for a in arrays(exact)]
            for a, b in zip(arrays(got), expected):
                with np.errstate(all="ignore"):
                    b = b != 0 if a.dtype == bool else b.astype(np.int64).astype(a.dtype) if a.dtype.kind in "iu" else b
                np.testing.assert_array_equal(a, b)
            continue
        assert_same(got, exact, 1e-5, 1e-5)


# ---------------------------------------------------------------- layouts
@pytest.mark.parametrize("name", [name for name in VALUES if name not in ABOUT_MEMORY])
def test_layouts_do_not_matter(name):
    for call in calls_of(name):
        expected = outcome(DEFINITIONS[name].function, call.map(like()))
        for lay in (transposed, every_second):
            now = call.map(lambda x, lay=lay: lay(like()(x)))
            assert_same(outcome(DEFINITIONS[name].function, now), expected, 1e-12, 1e-12)


@pytest.mark.parametrize("name", [name for name in VALUES if isinstance(DEFINITIONS[name].operation, Pointwise)])
def test_expanded_operands(name):
    call = calls_of(name)[0]
    row = call.map(lambda x: like()(x)[:1].expand(5, *x.shape[1:]))
    expected = call.map(lambda x: torch.cat([like()(x)[:1]] * 5))
    function = DEFINITIONS[name].function
    assert_same(row.of(function), expected.of(function), 1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_meta_tensors_have_shapes_and_dtypes(name):
    if name in NO_META:
        return
    function = DEFINITIONS[name].function
    for call in calls_of(name):
        if not call.tensors() or name == "getitem" and call.args[1] is not None and Call((call.args[1],)).tensors():
            continue
        expected = kinds(outcome(function, call.map(like())))
        assert kinds(outcome(function, call.map(lambda x: x.to("meta")))) == expected


NO_META = set(
    """
    from_numpy frombuffer tensor as_tensor asarray is_nonzero new_tensor item tolist is_set_to cpu cuda equal allclose
    bernoulli poisson binomial multinomial nonzero nonzero_static
    argwhere normal one_hot mode quantile nanquantile masked_select unique unique_consecutive
    repeat_interleave bincount histc histogram histogramdd data_ptr linalg_lu lstsq lobpcg istft
""".split()
)
"""Need values, or leave the meta device."""


# ---------------------------------------------------------------- spellings
def copies(call: Call) -> Call:
    torch.manual_seed(0)
    return call.map(like())


@pytest.mark.parametrize("name", [n for n in NAMES if "out" in inspect.signature(DEFINITIONS[n].function).parameters])
def test_out_is_filled_and_returned(name):
    function = DEFINITIONS[name].function
    for call in calls_of(name):
        if call.kwargs.get("as_tuple") or name in ("split_copy", "split_with_sizes_copy", "unbind_copy"):
            continue  # out= is for one tensor, or for tensors that are there already
        expected = copies(call).of(function)
        several = isinstance(expected, (tuple, list))
        parts = list(expected) if several else [expected]
        out = [torch.empty(0, dtype=x.dtype) for x in parts]
        now = copies(call)
        given = function(*now.args, **now.kwargs, out=tuple(out) if several else out[0])
        assert all(a is b for a, b in zip(given if several else [given], out))
        if name not in UNDEFINED | RANDOM:
            assert_same(out, parts)


@pytest.mark.parametrize("name", [n for n in NAMES if DEFINITIONS[n].in_place is not None])
def test_in_place_changes_the_tensor_itself(name):
    definition = DEFINITIONS[name]
    if "method" in definition.extra:  # its operands stand in another order
        return
    for call in calls_of(name):
        expected = copies(call).of(definition.function)
        now = copies(call)
        x = now.args[0]
        if (
            tuple(expected.shape) != tuple(x.shape)
            and name not in IN_PLACE_RESHAPES
            or expected.dtype != x.dtype
            and expected.is_complex()
        ):
            continue
        assert now.of(definition.in_place) is x
        assert_same(x, expected.to(x.dtype))


IN_PLACE_RESHAPES = {"squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "as_strided"}


@pytest.mark.parametrize("name", [n for n in NAMES if "method" in DEFINITIONS[n].where])
def test_method_is_the_function(name):
    definition = DEFINITIONS[name]
    for called in [name, *[a for a in definition.aliases if "." not in a]]:
        call = next(iter(calls_of(name)), None)
        if call is None:  # test_has_samples says so
            return
        method = getattr(torch.Tensor, called)
        if "method" in definition.extra:
            continue
        expected = outcome(definition.function, copies(call))
        if name not in UNDEFINED:
            assert_same(outcome(method, copies(call)), expected)


@pytest.mark.parametrize("name", [n for n in NAMES if "torch" in DEFINITIONS[n].where])
def test_is_where_users_look_for_it(name):
    for called in [name, *[a for a in DEFINITIONS[name].aliases if "." not in a]]:
        assert callable(getattr(torch, called))


@pytest.mark.parametrize("name", [n for n in NAMES if "functional" in DEFINITIONS[n].where])
def test_is_in_functional(name):
    assert callable(getattr(torch.nn.functional, name))


PYTHON = {
    "__add__": operator.add, "__sub__": operator.sub, "__mul__": operator.mul, "__truediv__": operator.truediv,
    "__floordiv__": operator.floordiv, "__mod__": operator.mod, "__pow__": operator.pow, "__matmul__": operator.matmul,
    "__and__": operator.and_, "__or__": operator.or_, "__xor__": operator.xor, "__lshift__": operator.lshift,
    "__rshift__": operator.rshift, "__eq__": operator.eq, "__ne__": operator.ne, "__lt__": operator.lt, "__le__": operator.le,
    "__gt__": operator.gt, "__ge__": operator.ge, "__neg__": operator.neg, "__pos__": operator.pos, "__abs__": operator.abs,
    "__invert__": operator.invert, "__iadd__": operator.iadd, "__isub__": operator.isub, "__imul__": operator.imul,
    "__itruediv__": operator.itruediv, "__ifloordiv__": operator.ifloordiv, "__imod__": operator.imod, "__ipow__": operator.ipow,
    "__iand__": operator.iand, "__ior__": operator.ior, "__ixor__": operator.ixor, "__ilshift__": operator.ilshift,
    "__irshift__": operator.irshift, "__getitem__": operator.getitem,
}  # fmt: skip


@pytest.mark.parametrize("name, sign", [(n, s) for n in NAMES for s in DEFINITIONS[n].operators if s in PYTHON])
def test_operators_are_the_function(name, sign):
    call = calls_of(name)[0]
    assert_same(copies(call).of(PYTHON[sign]), copies(call).of(DEFINITIONS[name].function))


@pytest.mark.parametrize(
    "name", [n for n in NAMES for s in DEFINITIONS[n].operators if f"__{s[3:]}" in PYTHON and s[2] == "r"]
)
def test_operators_with_a_number_on_the_left(name):
    signs = [
        s
        for s in DEFINITIONS[name].operators
        if s[2] == "r" and f"__{s[3:]}" in PYTHON and s not in ("__rshift__", "__rmatmul__")
    ]
    function = DEFINITIONS[name].function
    for sign in signs:
        x = copies(calls_of(name)[0]).args[1]
        turned = f"__{sign[3:]}" not in DEFINITIONS[name].operators
        expected = function(x, 3) if turned else function(torch.full_like(x, 3), x)
        assert_same(PYTHON[f"__{sign[3:]}"](3, x), expected, 1e-12)


def test_changed_keeps_the_kinds_of_structures():
    assert changed(([1], {"a": (2,)}), None) == ([1], {"a": (2,)})
