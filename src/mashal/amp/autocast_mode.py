"""autocast: inside it, products of matrices and convolutions take and give bfloat16, and what needs digits takes float32.

Three lists say which function does what (PyTorch's for the cpu); all others take what they get. Casts of parameters are kept
until the outermost block ends. Calls are seen by ops.interception, from the first block on; outside of blocks nothing changes.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from mashal.core.dtypes import bfloat16, dtype, float16, float32, float64
from mashal.core.tape import mode
from mashal.core.tensor import Tensor
from mashal.machine import observing
from mashal.machine.observing import changed, settings
from mashal.ops.interception import arm, watch
from mashal.utils._pytree import tree_map

__all__ = [
    "autocast",
    "autocast_decorator",
    "autocast_decrement_nesting",
    "autocast_increment_nesting",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "get_autocast_gpu_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]

_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "maia", "xla", "privateuseone", "ipu")


LOWER = frozenset(
    """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d bmm mm vecdot baddbmm addmm addbmm linear matmul
    prelu scaled_dot_product_attention einsum tensordot chain_matmul multi_dot""".split()
)
"""Functions whose floating operands become the dtype that was asked for."""
FLOAT32 = frozenset(
    """avg_pool3d binary_cross_entropy grid_sample grid_sampler polar prod quantile nanquantile stft cdist trace view_as_complex
    cholesky cholesky_ex cholesky_inverse cholesky_solve inverse inv inv_ex lu_solve lu orgqr ormqr pinverse pinv max_pool3d max_unpool2d
    max_unpool3d adaptive_avg_pool3d adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d mse_loss cosine_embedding_loss nll_loss
    hinge_embedding_loss poisson_nll_loss smooth_l1_loss cross_entropy l1_loss huber_loss margin_ranking_loss soft_margin_loss
    triplet_margin_loss multi_margin_loss ctc_loss kl_div multilabel_margin_loss binary_cross_entropy_with_logits cond matrix_rank solve
    svd svdvals eig eigh eigvals eigvalsh householder_product tensorinv tensorsolve geqrf qr triangular_solve lstsq
    fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft""".split()
)
"""Functions whose floating operands become float32."""
WIDEST = frozenset("cat stack concat concatenate index_copy".split())
"""Functions whose floating operands become the widest of their dtypes."""


class _State(threading.local):
    """What was asked for in this thread."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}
        self.dtypes: dict[str, dtype] = {"cpu": bfloat16, "cuda": float16, "mps": float16, "xpu": float16}
        self.cache = True
        self.nesting = 0
        self.casts: dict[int, tuple[Tensor, Tensor]] = {}  # id of a parameter -> the parameter, its cast


_state = _State()
settings.append(lambda: (tuple(sorted(_state.enabled.items())), tuple(_state.dtypes.values())))


# ---------------------------------------------------------------- the casts
def _cast_call(function: Callable[..., Any], original: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
    """A call inside autocast: operands cast as the lists say; what the function calls is then left alone."""
    name = function.__name__.removeprefix("linalg_").removeprefix("fft_")
    if not _state.enabled.get("cpu", False) or kwargs.get("out") is not None:
        return original(*args, **kwargs)
    if name in LOWER:
        to = _state.dtypes["cpu"]
    elif name in FLOAT32:
        to = float32
    elif name in WIDEST:
        to = _widest(args, kwargs)
    else:
        return original(*args, **kwargs)
    before, watch.last = watch.last, None
    try:
        args, kwargs = tree_map(lambda x: _cast(x, to), (args, kwargs))
        return original(*args, **kwargs)
    finally:
        watch.last = before


def _fits(x: Any) -> bool:
    return isinstance(x, Tensor) and x.form.dtype.is_floating_point and x.form.dtype is not float64


def _cast(x: Any, to: dtype) -> Any:
    """x in a dtype, if it is a floating tensor but no double; a parameter's cast is kept."""
    if not _fits(x) or x.form.dtype is to:
        return x
    if not (
        _state.cache
        and observing.watch.recorder is None
        and to is not float32
        and x.form.dtype is float32
        and x.node is not None
        and x.is_leaf
        and mode.recording
    ):
        return x.to(to)
    known = _state.casts.get(id(x))
    if known is None or known[0] is not x:
        known = _state.casts[id(x)] = x, x.to(to)
    return known[1]


def _widest(args: tuple, kwargs: dict) -> dtype:
    found: list[Any] = []
    tree_map(lambda x: found.append(x.form.dtype) if _fits(x) else None, (args, kwargs))
    wide = [d for d in found if d is float32]
    return float32 if wide or len(set(found)) > 1 else found[0] if found else float32


# ---------------------------------------------------------------- what was asked for
def is_autocast_available(device_type: str) -> bool:
    """Whether autocast may be used with a device type.

    >>> torch.amp.is_autocast_available("cpu")
    True
    """
    if device_type not in _DEVICES:
        raise RuntimeError(f"autocast: there is no device type {device_type!r}; there are {', '.join(_DEVICES)}")
    return True


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether a block of autocast for a device type (cuda, if none is given) is open."""
    return _state.enabled.get(device_type or "cuda", False)


def is_autocast_cpu_enabled() -> bool:
    """Whether a block of autocast for the cpu is open."""
    return is_autocast_enabled("cpu")


def get_autocast_dtype(device_type: str) -> dtype:
    """The dtype that autocast asks for on a device type."""
    return _state.dtypes.get(device_type, float16)


def get_autocast_cpu_dtype() -> dtype:
    """The dtype that autocast asks for on the cpu."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> dtype:
    """The dtype that autocast asks for on cuda."""
    return get_autocast_dtype("cuda")


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Opens or closes autocast for a device type."""
    if isinstance(device_type, bool):
        device_type, enabled = "cuda", device_type
    _state.enabled[device_type] = bool(enabled)
    changed()
    if device_type == "cpu" and enabled:
        _watched()


def _watched() -> None:
    """From now on calls in this thread are looked at."""
    arm()
    before = watch.last
    if before is None:
        watch.last = _cast_call
    elif before is not _cast_call and not getattr(before, "casts", False):

        def last(function: Any, original: Any, args: tuple, kwargs: dict) -> Any:
            cast = functools.wraps(original)(lambda *a, **k: _cast_call(function, original, a, k))
            return before(function, cast, args, kwargs)

        last.casts = True  # type: ignore[attr-defined]
        watch.last = last


def autocast_increment_nesting() -> int:
    """Notes that a block has begun; gives how many are open."""
    _state.nesting += 1
    return _state.nesting


def autocast_decrement_nesting() -> int:
    """Notes that a block has ended; gives how many are open."""
    _state.nesting -= 1
    return _state.nesting


def clear_autocast_cache() -> None:
    """Forgets all casts of parameters."""
    _state.casts.clear()


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Sets the dtype that autocast asks for on a device type."""
    _state.dtypes[device_type] = dtype
    changed()


def is_autocast_cache_enabled() -> bool:
    """Whether autocast keeps what it has cast."""
    return _state.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Sets whether autocast keeps what it has cast."""
    _state.cache = enabled


class autocast:
    """A block (or a decorated function) in which products of matrices are computed in a lower precision.

    device_type: "cpu", "cuda", …; on one that isn't there autocast is off, with a warning. dtype: bfloat16 on the cpu by default.
    enabled=False: no casts inside. cache_enabled: whether casts of parameters are kept for the block.

    >>> with torch.autocast("cpu"):
    ...     print(torch.mm(torch.ones(1, 2), torch.ones(2, 1)).dtype)
    torch.bfloat16
    """

    def __init__(
        self, device_type: str, dtype: dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        is_autocast_available(device_type)
        self.device, self.custom_backend_name = device_type, None
        self.fast_dtype = dtype or get_autocast_dtype(device_type)
        if enabled and device_type != "cpu":
            warnings.warn(
                f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. Disabling",
                stacklevel=2,
            )
            enabled = False
        if enabled and self.fast_dtype not in (bfloat16, float16):
            warnings.warn(
                f"In CPU autocast, but the target dtype {self.fast_dtype} is not supported. Disabling autocast. It is there for "
                "torch.bfloat16 and torch.float16",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._cache_enabled = _state.cache if cache_enabled is None else cache_enabled
        self._before: list[tuple] = []

    def __enter__(self) -> autocast:
        before = is_autocast_enabled(self.device), get_autocast_dtype(self.device), _state.cache, watch.last
        self._before.append(before)
        _state.enabled[self.device], _state.dtypes[self.device] = self._enabled, self.fast_dtype
        _state.cache = self._cache_enabled
        changed()
        if self._enabled and self.device == "cpu":
            _watched()
        autocast_increment_nesting()
        return self

    def __exit__(self, *exception: Any) -> None:
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        changed()
        _state.enabled[self.device], _state.dtypes[self.device], _state.cache, watch.last = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return autocast_decorator(self, function)


def autocast_decorator(instance: autocast, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run within an autocast block."""

    @functools.wraps(function)
    def decorated(*arguments: Any, **options: Any) -> Any:
        with instance:
            return function(*arguments, **options)

    return decorated


def _cast_all(x: Any, device_type: str, to: dtype) -> Any:
    def one(value: Any) -> Any:
        return value.to(to) if _fits(value) and value.device.type == device_type else value

    return tree_map(one, x)


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str = "cuda", cast_inputs: dtype | None = None
) -> Any:
    """For Function.forward: notes whether autocast is on, for custom_bwd.

    cast_inputs: inside autocast floating tensors become this dtype, and forward runs with autocast off.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        ctx, on = args[0], is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        if cast_inputs is None or not on:
            ctx._fwd_used_autocast = on if cast_inputs is None else False
            return fwd(*args, **kwargs)
        ctx._fwd_used_autocast = False
        with autocast(device_type=device_type, enabled=False):
            return fwd(*_cast_all(args, device_type, cast_inputs), **_cast_all(kwargs, device_type, cast_inputs))

    return decorated


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cuda") -> Any:
    """For Function.backward: runs it with autocast as it was in forward."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type=device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(*args, **kwargs)

    return decorated
