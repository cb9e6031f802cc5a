"""Numbers that stand for every dimension of space: 3 is (3, 3) in a layer of two. PyTorch's nn.modules.utils."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Sequence
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, collections.abc.Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single, _pair = _ntuple(1, "_single"), _ntuple(2, "_pair")
_triple, _quadruple = _ntuple(3, "_triple"), _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(t: Sequence[int], n: int) -> tuple[int, ...]:
    """Each element n times, from the last to the first: what F.pad takes."""
    return tuple(x for x in reversed(t) for _ in range(n))


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> Any:
    """out_size with sizes of the input where it says None. ValueError: there are not enough of them."""
    if isinstance(out_size, (int, float)):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}, not {len(defaults)}")
    return [d if v is None else v for v, d in zip(out_size, defaults[-len(out_size) :])]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Takes a prefix ("module.", "_orig_mod.") away from the keys that begin with it, in the dictionary itself, in its order.

    >>> state = torch.compile(nn.Linear(2, 1)).state_dict()
    >>> torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "_orig_mod.")
    >>> list(state)
    ['weight', 'bias']
    """
    for keys in (state_dict, getattr(state_dict, "_metadata", {})):
        entries = [(key.removeprefix(prefix), value) for key, value in keys.items()]
        if prefix and prefix.rstrip(".") in keys and keys is not state_dict:  # the metadata of the module itself
            entries = [(("" if key == prefix.rstrip(".") else key), value) for key, value in entries if key]
        keys.clear()
        keys.update(entries)
