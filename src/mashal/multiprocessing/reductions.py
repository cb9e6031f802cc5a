"""How a tensor is sent to another process: its data moves into a shared block once, then only descriptors travel.

Sender and receiver see the same memory afterwards: what one writes, the other reads. The sender must live until the
tensor has been received. Importing this file is what teaches `multiprocessing` to do so.
"""

from __future__ import annotations

from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

from mashal.core.tensor import Tensor, as_subclass
from mashal.multiprocessing.memory import SharedBlock, block_of, move_to_shared, tensor_in
from mashal.nn.parameter import Buffer, Parameter

_STRATEGIES = ("file_descriptor", "file_system")
_strategy = _STRATEGIES[0]


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted for PyTorch's sake: blocks have no name in the file system, whatever the strategy is called."""
    global _strategy
    if new_strategy not in _STRATEGIES:
        raise AssertionError(f"set_sharing_strategy: {new_strategy!r} is no strategy; there are {sorted(_STRATEGIES)}")
    _strategy = new_strategy


def get_sharing_strategy() -> str:
    """The strategy that was set last.

    >>> get_sharing_strategy()
    'file_descriptor'
    """
    return _strategy


def get_all_sharing_strategies() -> set[str]:
    """The strategies that may be set."""
    return set(_STRATEGIES)


def reduce_tensor(tensor: Tensor) -> Any:
    """What ForkingPickler writes for a tensor: its block's descriptor, and how it lies in the block."""
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "multiprocessing: a tensor that requires grad and has a history cannot be sent, for histories do not go "
            "from process to process; detach() it first"
        )
    if tensor.device.type != "cpu":
        raise RuntimeError(f"multiprocessing: only tensors on the cpu can be sent, not one on {tensor.device}")
    block = block_of(tensor) or move_to_shared(tensor)
    place = (tensor.storage_offset(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()))
    assert block.descriptor is not None
    return _rebuild, (type(tensor), DupFd(block.descriptor), block.size, place, tensor.requires_grad)


def _rebuild(kind: type, descriptor: Any, size: int, place: tuple, requires_grad: bool) -> Any:
    block = SharedBlock(size, descriptor.detach())
    offset, dtype, shape, strides = place
    tensor = tensor_in(block, offset, dtype, shape, strides)
    if kind is not Tensor:
        tensor = as_subclass(kind, tensor)
    return tensor.requires_grad_() if requires_grad else tensor


for _kind in (Tensor, Parameter, Buffer):
    ForkingPickler.register(_kind, reduce_tensor)
