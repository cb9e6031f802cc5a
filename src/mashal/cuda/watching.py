"""What a device is doing: load, temperature, clock, processes; asked of NVIDIA's library, which needs a device."""

from __future__ import annotations

import importlib.util
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable

__all__ = ["check_error", "clock_rate", "cudart", "current_blas_handle", "current_solver_handle", "device_memory_used",
           "get_gencode_flags", "get_sync_debug_mode", "has_half", "has_magma", "is_tf32_supported", "list_gpu_processes",
           "memory_usage", "power_draw", "set_sync_debug_mode", "temperature", "utilization"]  # fmt: skip

has_half = True
has_magma = False


def _refuse() -> Any:
    """AssertionError: there is no CUDA here."""
    return usable(device_of("cuda"))


def _no_library() -> Any:
    if importlib.util.find_spec("pynvml") is not None:
        return _refuse()
    raise ModuleNotFoundError(
        "nvidia-ml-py is not installed: it is what device statistics come from; there is no CUDA device"
    )


def utilization(device: Any = None) -> int:
    """Per cent of the time in which the device worked; ModuleNotFoundError without NVIDIA's library."""
    return _no_library()


def memory_usage(device: Any = None) -> int:
    """Per cent of the time in which the device's memory was read or written; ModuleNotFoundError without NVIDIA's library."""
    return _no_library()


def device_memory_used(device: Any = None) -> int:
    """Bytes in use on the device; ModuleNotFoundError without NVIDIA's library."""
    return _no_library()


def temperature(device: Any = None) -> int:
    """Degrees Celsius of the device; ModuleNotFoundError without NVIDIA's library."""
    return _no_library()


def power_draw(device: Any = None) -> int:
    """Milliwatts that the device takes; ModuleNotFoundError without NVIDIA's library."""
    return _no_library()


def clock_rate(device: Any = None) -> int:
    """Megahertz of the device; ModuleNotFoundError without NVIDIA's library."""
    return _no_library()


def list_gpu_processes(device: Any = None) -> str:
    """Which processes use the device, as text."""
    return "pynvml module not found, please install nvidia-ml-py"


def get_gencode_flags() -> str:
    """The compiler's options for the architectures this was built for: none."""
    return ""


def is_tf32_supported() -> bool:
    """Whether products in TF32 are possible: there is no device."""
    return False


def get_sync_debug_mode() -> int:
    """Whether waiting for the device is reported; AssertionError, for there is none."""
    return _refuse()


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Sets whether waiting for the device is reported; AssertionError, for there is none."""
    _refuse()


def current_blas_handle() -> int:
    """cuBLAS's handle; AssertionError, for there is none."""
    return _refuse()


def current_solver_handle() -> int:
    """cuSOLVER's handle; AssertionError, for there is none."""
    return _refuse()


def cudart() -> Any:
    """CUDA's runtime library; AssertionError, for there is none."""
    return _refuse()


def check_error(res: int) -> None:
    """RuntimeError if a call into CUDA's runtime library failed: 0 is success."""
    if int(res) != 0:
        raise RuntimeError(f"CUDA: a call failed with error {int(res)}")
