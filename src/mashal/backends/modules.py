"""The backends of PyTorch as this build has them: mashal's own kernels on the cpu, no library of others, no accelerator."""

from __future__ import annotations

from typing import Any

from mashal.backends.flags import Backend
from mashal.machine import host

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]


def no(*arguments: Any, **options: Any) -> bool:
    """No: this build does not have it."""
    return False


def nothing(*arguments: Any, **options: Any) -> None:
    """None: there is no version of what isn't there."""
    return None


def get_cpu_capability() -> str:
    """The widest vectors of this processor, as PyTorch calls them: "AVX512", "AVX2", "NEON" or "DEFAULT"."""
    return {64: "AVX512", 32: "AVX2"}.get(host.HOST.vector_bytes, "NEON" if host.HOST.arm else "DEFAULT")


cpu = Backend("mashal.backends.cpu", "The processor.", get_cpu_capability=get_cpu_capability)
cuda = Backend(
    "mashal.backends.cuda",
    "CUDA: not in this build.",
    is_built=no,
    matmul=Backend("mashal.backends.cuda.matmul", "Products.", allow_tf32=False, fp32_precision="none",
                   allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True, allow_fp16_accumulation=False),
    flash_sdp_enabled=no, mem_efficient_sdp_enabled=no, math_sdp_enabled=lambda: True, cudnn_sdp_enabled=no,
    enable_flash_sdp=nothing, enable_mem_efficient_sdp=nothing, enable_math_sdp=nothing, enable_cudnn_sdp=nothing,
    preferred_linalg_library=nothing,
)  # fmt: skip
cudnn = Backend(
    "mashal.backends.cudnn", "cuDNN: not in this build.", is_available=no, version=nothing, enabled=True, benchmark=False,
    deterministic=False, allow_tf32=True, benchmark_limit=10, fp32_precision="none", is_acceptable=no,
)  # fmt: skip
mkl = Backend("mashal.backends.mkl", "MKL: not in this build, its own kernels do the work.", is_available=no)
mkldnn = Backend("mashal.backends.mkldnn", "oneDNN: not in this build.", is_available=no, enabled=True, deterministic=False,
                 allow_tf32=True, fp32_precision="none")  # fmt: skip
mps = Backend("mashal.backends.mps", "Apple's GPUs: not in this build.", is_available=no, is_built=no, is_macos_or_newer=no,
              is_macos13_or_newer=no)  # fmt: skip
openmp = Backend("mashal.backends.openmp", "OpenMP: not in this build, threads are its own.", is_available=no)
opt_einsum = Backend("mashal.backends.opt_einsum", "opt_einsum: not used.", is_available=no, get_opt_einsum=nothing, enabled=False,
                     strategy=None)  # fmt: skip
quantized = Backend(
    "mashal.backends.quantized", "Quantized arithmetic: not in this build.", engine="none", supported_engines=["none"]
)
