"""CUDA's libraries for products and Fourier transforms, as torch.backends.cuda speaks of them; none is here."""

from __future__ import annotations

from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable

__all__ = ["settings"]


def _refuse() -> Any:
    return usable(device_of("cuda"))


class cuFFTPlanCacheAttrContextProp:
    """A number of a plan cache that is asked of the device, and perhaps set there."""

    def __init__(self, getter: Any, setter: Any):
        self.getter, self.setter = getter, setter

    def __get__(self, cache: Any, kind: type | None = None) -> Any:
        return self if cache is None else self.getter(cache.device_index)

    def __set__(self, cache: Any, value: int) -> None:
        self.setter(cache.device_index, value)


class cuFFTPlanCache:
    """The plans kept for Fourier transforms of one device; AssertionError for its numbers, as there is no device."""

    size: Any = cuFFTPlanCacheAttrContextProp(lambda index: _refuse(), lambda index, value: _refuse())
    max_size: Any = cuFFTPlanCacheAttrContextProp(lambda index: _refuse(), lambda index, value: _refuse())

    def __init__(self, device_index: int | None):
        self.device_index = device_index

    def clear(self) -> None:
        """Forgets the plans; AssertionError, for there is no device."""
        _refuse()


class cuFFTPlanCacheManager(cuFFTPlanCache):
    """The plan caches of all devices: `cufft_plan_cache[0]`."""

    def __init__(self) -> None:
        super().__init__(None)

    def __getitem__(self, device: Any) -> cuFFTPlanCache:
        index = device if isinstance(device, int) else device_of(device).index or 0
        raise RuntimeError(f"cufft_plan_cache: expected 0 <= device index < 0, but got device with index {index}")


class cuBLASModule:
    """Settings of products on CUDA devices: torch.backends.cuda.matmul."""

    def __init__(self) -> None:
        self.allow_tf32, self.fp32_precision = False, "none"
        self.allow_fp16_reduced_precision_reduction = self.allow_bf16_reduced_precision_reduction = True
        self.allow_fp16_accumulation = False


def _preferred(choices: dict[str, str], what: str) -> Any:
    chosen = {"now": "default"}

    def preferred(backend: str | None = None) -> str:
        if backend is not None:
            if str(backend).lower() not in choices:
                raise RuntimeError(f"preferred_{what}: unknown backend {backend!r}; choose one of {', '.join(choices)}")
            chosen["now"] = str(backend).lower()
        return choices[chosen["now"]]

    preferred.__doc__ = f"The {what} that CUDA devices are to use, set if one is given; there is no device."
    return preferred


def _workspace(size: int | None = None, backend: Any = None) -> int:
    """Bytes that products may use beside their operands on a CUDA device: there is none, so 0."""
    return 0


def settings() -> dict[str, Any]:
    """What torch.backends.cuda has of this."""
    linalg = {"default": "default", "cusolver": "cusolver", "magma": "magma"}
    blas = {
        "default": "default",
        "cublas": "cublas",
        "hipblas": "cublas",
        "cublaslt": "cublaslt",
        "hipblaslt": "cublaslt",
        "ck": "ck",
    }
    return {
        "matmul": cuBLASModule(),
        "cuBLASModule": cuBLASModule,
        "cuFFTPlanCache": cuFFTPlanCache,
        "cuFFTPlanCacheManager": cuFFTPlanCacheManager,
        "cuFFTPlanCacheAttrContextProp": cuFFTPlanCacheAttrContextProp,
        "cufft_plan_cache": cuFFTPlanCacheManager(),
        "preferred_linalg_library": _preferred(linalg, "linalg_library"),
        "preferred_blas_library": _preferred(blas, "blas_library"),
        "preferred_rocm_fa_library": _preferred(
            {"default": "default", "aotriton": "aotriton", "ck": "ck"}, "rocm_fa_library"
        ),
        "blas_workspace_size": _workspace,
        "cublas_workspace_size": _workspace,
        "cublaslt_workspace_size": _workspace,
    }
