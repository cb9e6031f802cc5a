"""What a registered hook gives back: a handle whose `remove` takes the hook away.

Used by tensors, nodes, modules and optimizers. A handle holds the dictionary of hooks weakly, so it never keeps a
model alive, and knows nothing of what the hooks are.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Any
from weakref import ref

from mashal.machine.observing import changed

_numbers = count()


class RemovableHandle:
    """A hook's place in a dictionary of hooks, with more dictionaries that hold options under the same number.

    hooks: the dictionary (an OrderedDict, or another that takes weak references) the hook stands in.
    extra_dict: further dictionaries with an entry under the same id, emptied together with it.
    Also a context manager: the hook goes at the end of the `with` block.

    >>> hooks = OrderedDict()
    >>> handle = RemovableHandle(hooks)
    >>> hooks[handle.id] = print
    >>> handle.remove()
    >>> hooks
    OrderedDict()
    """

    id: int

    def __init__(self, hooks: Any, *, extra_dict: Any = None) -> None:
        others = extra_dict if isinstance(extra_dict, (list, tuple)) else [] if extra_dict is None else [extra_dict]
        changed()
        self.id = next(_numbers)
        self._places = [ref(place) for place in (hooks, *others)]

    def remove(self) -> None:
        """Take the hook away; does nothing the second time, or when its owner is gone."""
        changed()
        for place in self._places:
            hooks = place()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> tuple[Any, int]:
        return [place() for place in self._places], self.id

    def __setstate__(self, state: tuple[Any, int]) -> None:
        places, self.id = state
        self._places = [ref(OrderedDict() if place is None else place) for place in places]

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()
