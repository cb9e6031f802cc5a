"""PyTorch's own test inputs, handed to mashal: how its operations, tensors and results are translated and held together.

PyTorch ships the inputs with which it tests itself (`op_db`): samples, larger reference inputs, and inputs that are errors.
An operation is looked up under PyTorch's name; one that is a lambda is made anew with mashal in torch's place.
"""

import math
import types
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import mashal

EVERYTHING = tuple(getattr(torch, name) for name in ("float32", "float64", "int64", "bool"))
OTHER = tuple(getattr(torch, name) for name in ("float16", "bfloat16", "int8", "uint8", "int32", "complex64"))

# Private, or of devices, layouts and engines that there are none of here.
LEFT_OUT = """
jiterator bmm.triton nn.functional.batch_norm.without_cudnn sparse.sampled_addmm sparse.mm to_sparse torch._scaled
nn.functional.triplet_margin_with_distance_loss torch.ops _ empty new_empty resize_ slice
max_pool2d_with_indices_backward native_dropout_backward
""".split()
# Where mashal is right, or another answer is as good.
DIFFERENT = {
    "as_strided_scatter": "PyTorch's gradient is that of another function",
    "signal.windows.kaiser": "PyTorch's overflows for large beta",
    "special.bessel_j0": "PyTorch's has 7 digits near its table's ends, ours 15",
    "special.bessel_j1": "the same",
    "special.bessel_y0": "the same",
    "special.bessel_y1": "the same",
}
DIFFERENT_IN_HALVES = {"matrix_exp": "PyTorch's overflows on the way"}
SEVERAL_ANSWERS = """
svd qr eig lu geqrf ldl_ lobpcg householder orm orgqr triangular_solve cholesky_inverse lstsq pca_lowrank svd_lowrank topk sort
argsort median mode kthvalue unique multinomial histc pinv.singular linalg.norm.subgradients norm.nuc matrix_norm
""".split()


@dataclass(frozen=True)
class Peer:
    """One of PyTorch's operations with its inputs, and mashal's function of the name."""

    info: object
    function: object

    @property
    def name(self):
        return self.info.name + (f".{self.info.variant_test_name}" if self.info.variant_test_name else "")


def peers():
    """All operations that both have and that give one answer."""
    found = []
    for info in op_db:
        name = info.name
        if any(
            name.startswith(word) or name == word.rstrip("_") for word in LEFT_OUT
        ) or info.variant_test_name.startswith("triton"):
            continue
        if any(word in name for word in SEVERAL_ANSWERS):
            continue
        function = by_name(name) if _is_plain(info) else anew(info.op)
        if function is not None:
            found.append(Peer(info, function))
    return found


def _is_plain(info):
    """Whether the operation is what torch has under its name."""
    found = torch
    for part in info.name.split("."):
        found = getattr(found, part, None)
    return found is info.op


def by_name(name):
    found = mashal
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def anew(function):
    """A lambda whose `torch` is mashal; None if it needs more than that."""
    if not isinstance(function, types.FunctionType) or function.__closure__:
        return None
    used = [name for name in function.__code__.co_names if name in function.__globals__]
    if set(used) - {"torch"}:
        return None
    return types.FunctionType(function.__code__, {"torch": mashal}, function.__name__, function.__defaults__)


# ---------------------------------------------------------------- translation
def here(value, memo=None):
    """A value of PyTorch's as mashal's: tensors with the same strides and the same wish for a gradient."""
    memo = {} if memo is None else memo
    if isinstance(value, torch.Tensor):
        if id(value) not in memo:
            memo[id(value)] = _tensor(value, memo)
        return memo[id(value)]
    if isinstance(value, torch.Size):
        return mashal.Size(value)
    if isinstance(value, (list, tuple)):
        items = [here(item, memo) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: here(item, memo) for key, item in value.items()}
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return getattr(mashal, str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return mashal.device(str(value))
    if callable(value) and getattr(value, "__module__", "").startswith("torch"):
        return by_name(f"{value.__module__}.{value.__qualname__}".removeprefix("torch.")) or anew(value)
    return value


def _tensor(x, memo):
    if x.device.type != "cpu" or x.layout is not torch.strided:
        raise NotImplementedError(f"tensors on {x.device} of layout {x.layout}")
    x, needs = x.detach().resolve_conj().resolve_neg(), x.requires_grad
    storage = x.untyped_storage()
    key = storage.data_ptr(), x.dtype
    if not storage.nbytes() or key not in memo:  # tensors over one storage stay so
        memo[key] = _storage(x)
        memo.setdefault("alive", []).append(storage)
    made = memo[key].as_strided(tuple(x.shape), x.stride(), x.storage_offset()).detach()
    return made.requires_grad_() if needs else made


def _storage(x):
    flat = x.as_strided((x.untyped_storage().nbytes() // x.element_size(),), (1,), 0).clone()
    if x.dtype is torch.bfloat16:
        return mashal.from_numpy(flat.view(torch.int16).numpy()).view(mashal.bfloat16)
    return mashal.from_numpy(flat.numpy())


def numbers(x):
    """A tensor of either side as an array; half precisions as float32."""
    x = x.detach().resolve_conj().resolve_neg()
    wide = {"torch.bfloat16": "float32", "torch.float16": "float32", "torch.complex32": "complex64"}.get(str(x.dtype))
    x = x if wide is None else x.to(getattr(torch if isinstance(x, torch.Tensor) else mashal, wide))
    return x.numpy(force=True)  # PyTorch has zeros without memory


# ---------------------------------------------------------------- held together
CLOSE = {
    "torch.float64": (1e-7, 1e-7),
    "torch.float16": (2e-2, 2e-2),
    "torch.complex32": (2e-2, 2e-2),
    "torch.bfloat16": (8e-2, 8e-2),
}


def assert_alike(mine, theirs, where="result"):
    """AssertionError unless both are the same structure of tensors of equal dtypes, shapes and (nearly) numbers."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(mine, mashal.Tensor), f"{where}: a {type(mine).__name__} and not a Tensor"
        assert str(mine.dtype) == str(theirs.dtype), f"{where}: {mine.dtype} and not {theirs.dtype}"
        assert tuple(mine.shape) == tuple(theirs.shape), f"{where}: {tuple(mine.shape)} and not {tuple(theirs.shape)}"
        _assert_close(numbers(mine), numbers(theirs), str(theirs.dtype), where)
    elif isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs), f"{where}: {len(mine)} items and not {len(theirs)}"
        for i, (a, b) in enumerate(zip(mine, theirs)):
            assert_alike(a, b, f"{where}[{i}]")
    elif isinstance(theirs, float):
        assert mine == theirs or math.isclose(mine, theirs, rel_tol=1e-5) or mine != mine, (
            f"{where}: {mine} and not {theirs}"
        )
    elif isinstance(theirs, (int, bool, str, type(None))):
        assert mine == theirs, f"{where}: {mine} and not {theirs}"


def _assert_close(a, b, dtype, where):
    if b.dtype.kind not in "fc":
        np.testing.assert_array_equal(a, b, err_msg=where)
        return
    relative, absolute = CLOSE.get(dtype, (2e-4, 2e-4))
    finite = np.abs(b[np.isfinite(b)])
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    np.testing.assert_allclose(a, b, rtol=relative, atol=absolute * scale, err_msg=where)


def outcome(call):
    """What a call gives: (result, None) or (None, the error)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(), None
        except Exception as error:
            return None, error


def draws(call):
    """Whether a call draws random numbers."""
    before = torch.get_rng_state()
    outcome(call)
    return not torch.equal(before, torch.get_rng_state())
