"""The backends of PyTorch as this build has them: mashal's own kernels on the cpu, no library of others, no accelerator."""

from __future__ import annotations

import contextlib
from typing import Any

from mashal.backends import attention, libraries
from mashal.backends.flags import Backend
from mashal.machine import host

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "nnpack", "openmp", "opt_einsum", "quantized"]


def no(*arguments: Any, **options: Any) -> bool:
    """No: this build does not have it."""
    return False


def nothing(*arguments: Any, **options: Any) -> None:
    """None: there is no version of what isn't there."""
    return None


class verbose(contextlib.AbstractContextManager):
    """`with torch.backends.mkl.verbose(VERBOSE_ON):` the library tells what it does: it is not there, and tells nothing."""

    def __init__(self, enable: int):
        self.enable = enable

    def __exit__(self, *exception: Any) -> None:
        return None


def no_gpu(what: str) -> Any:
    """What is asked of Apple's GPU where there is none: a RuntimeError."""

    def ask() -> Any:
        if not mps.is_available():
            raise RuntimeError(f"mps: the {what} of the GPU was asked for; this build has no MPS backend")

    ask.__doc__ = f"The {what} of Apple's GPU; RuntimeError, for there is none."
    return ask


def get_cpu_capability() -> str:
    """The widest vectors of this processor, as PyTorch calls them: "AVX512", "AVX2", "NEON" or "DEFAULT"."""
    return {64: "AVX512", 32: "AVX2"}.get(host.HOST.vector_bytes, "NEON" if host.HOST.arm else "DEFAULT")


cpu = Backend("mashal.backends.cpu", "The processor.", get_cpu_capability=get_cpu_capability)
cuda = Backend(
    "mashal.backends.cuda", "CUDA: not in this build.", is_built=no, **attention.settings(), **libraries.settings()
)
cudnn = Backend(
    "mashal.backends.cudnn", "cuDNN: not in this build.", is_available=no, version=nothing, enabled=True, benchmark=False,
    deterministic=False, allow_tf32=True, benchmark_limit=10, fp32_precision="none", is_acceptable=no,
)  # fmt: skip
mkl = Backend("mashal.backends.mkl", "MKL: not in this build, its own kernels do the work.", is_available=no, verbose=verbose,
              VERBOSE_OFF=0, VERBOSE_ON=1)  # fmt: skip
mkldnn = Backend("mashal.backends.mkldnn", "oneDNN: not in this build.", is_available=no, enabled=True, deterministic=False,
                 allow_tf32=True, fp32_precision="none", verbose=verbose, VERBOSE_OFF=0, VERBOSE_ON=1,
                 VERBOSE_ON_CREATION=2)  # fmt: skip
nnpack = Backend(
    "mashal.backends.nnpack", "NNPACK: not in this build.", is_available=no, set_flags=lambda _enabled: (_enabled,)
)
mps = Backend("mashal.backends.mps", "Apple's GPUs: not in this build.", is_available=no, is_built=no, is_macos_or_newer=no,
              is_macos13_or_newer=no, get_core_count=no_gpu("core count"), get_name=no_gpu("name"))  # fmt: skip
openmp = Backend("mashal.backends.openmp", "OpenMP: not in this build, threads are its own.", is_available=no)
opt_einsum = Backend("mashal.backends.opt_einsum", "opt_einsum: not used.", is_available=no, get_opt_einsum=nothing, enabled=False,
                     strategy=None)  # fmt: skip
quantized = Backend(
    "mashal.backends.quantized", "Quantized arithmetic: not in this build.", engine="none", supported_engines=["none"]
)
