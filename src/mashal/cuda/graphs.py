"""Recorded CUDA work, pools of memory, external queues: each can be named, using one says that there is no CUDA."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from mashal.core.devices import device as device_of
from mashal.core.devices import usable
from mashal.cuda.absent import Stream

__all__ = ["CUDAGraph", "CUDAPluggableAllocator", "ExternalStream", "GreenContext", "MemPool", "caching_allocator_alloc",
           "caching_allocator_delete", "caching_allocator_disabled", "caching_allocator_enable", "change_current_allocator",
           "get_allocator_backend", "get_stream_from_external", "graph", "graph_pool_handle", "make_graphed_callables",
           "use_mem_pool"]  # fmt: skip


def _refuse() -> Any:
    """AssertionError: there is no CUDA here."""
    return usable(device_of("cuda"))


class CUDAGraph:
    """Work of a device, recorded and run again as a whole; AssertionError, for there is no CUDA."""

    def __new__(cls, keep_graph: bool = False) -> Any:
        return _refuse()


class graph(contextlib.AbstractContextManager):
    """`with torch.cuda.graph(g):` records the work inside; AssertionError, for there is no CUDA."""

    def __init__(self, cuda_graph: Any, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"):
        self.cuda_graph, self.pool, self.stream = cuda_graph, pool, stream
        _refuse()

    def __exit__(self, *exception: Any) -> None:
        return None


class MemPool:
    """Memory of a device apart from the rest; AssertionError, for there is no CUDA."""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return _refuse()


class GreenContext:
    """Part of a device's processors; AssertionError, for there is no CUDA."""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return _refuse()


class ExternalStream(Stream):
    """A queue that another library made; AssertionError, for there is no CUDA."""


class CUDAPluggableAllocator:
    """Functions of a shared library that allocate device memory: path_to_so_file, alloc_fn_name, free_fn_name."""

    def __init__(self, path_to_so_file: str, alloc_fn_name: str, free_fn_name: str):
        self.path, self.alloc, self.free = path_to_so_file, alloc_fn_name, free_fn_name


def change_current_allocator(allocator: Any) -> None:
    """Chooses who allocates device memory; AssertionError, for there is none."""
    _refuse()


def get_allocator_backend() -> str:
    """Who allocates device memory: "native", as soon as there is some."""
    return "native"


def caching_allocator_alloc(size: int, device: Any = None, stream: Any = None) -> int:
    """Device memory of some bytes; AssertionError, for there is none."""
    return _refuse()


def caching_allocator_delete(mem_ptr: int) -> None:
    """Gives device memory back; AssertionError, for there is none."""
    _refuse()


def caching_allocator_enable(value: bool = True) -> None:
    """Whether device memory is kept for later: there is none."""


@contextlib.contextmanager
def caching_allocator_disabled(device: Any = None) -> Iterator[None]:
    """A block in which device memory is not kept for later: there is none."""
    yield


def graph_pool_handle() -> Any:
    """What graphs share memory by; AssertionError, for there is no CUDA."""
    return _refuse()


def make_graphed_callables(callables: Callable[..., Any], sample_args: Any, num_warmup_iters: int = 3,
                           allow_unused_input: bool = False, pool: Any = None) -> Any:  # fmt: skip
    """Functions as recorded device work; AssertionError, for there is no CUDA."""
    return _refuse()


def use_mem_pool(pool: Any, device: Any = None) -> contextlib.AbstractContextManager:
    """A block whose device memory comes from a pool; AssertionError, for there is no CUDA."""
    return _refuse()


def get_stream_from_external(data_ptr: int, device: Any = None) -> Any:
    """The queue that another library made; AssertionError, for there is no CUDA."""
    return _refuse()
