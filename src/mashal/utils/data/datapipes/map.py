"""Pipes over what has a place: wrapped, mapped, batched, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.utils.data.datapipes.pipes import MapDataPipe, functional_datapipe

__all__ = ["Batcher", "Concater", "Mapper", "SequenceWrapper", "Zipper"]


class SequenceWrapper(MapDataPipe):
    """A sequence or a dict as a pipe."""

    def __init__(self, sequence: Any, deepcopy: bool = True):
        self.sequence = sequence

    def __getitem__(self, index: Any) -> Any:
        return self.sequence[index]

    def __len__(self) -> int:
        return len(self.sequence)


@functional_datapipe("map")
class Mapper(MapDataPipe):
    """fn of every item."""

    def __init__(self, datapipe: Any, fn: Callable[[Any], Any]):
        self.datapipe, self.fn = datapipe, fn

    def __getitem__(self, index: Any) -> Any:
        return self.fn(self.datapipe[index])

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("batch")
class Batcher(MapDataPipe):
    """Lists of batch_size items; the last may be shorter, unless drop_last."""

    def __init__(self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: type = list):
        self.datapipe, self.batch_size, self.drop_last, self.wrapper_class = (
            datapipe,
            batch_size,
            drop_last,
            wrapper_class,
        )

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"Batcher: index {index} is outside the {len(self)} batches")
        start = index * self.batch_size
        return self.wrapper_class(
            [self.datapipe[i] for i in range(start, min(start + self.batch_size, len(self.datapipe)))]
        )

    def __len__(self) -> int:
        n = len(self.datapipe)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


@functional_datapipe("concat")
class Concater(MapDataPipe):
    """The items of several pipes, one after another."""

    def __init__(self, *datapipes: Any):
        self.datapipes: Sequence[Any] = datapipes

    def __getitem__(self, index: int) -> Any:
        for pipe in self.datapipes:
            if index < len(pipe):
                return pipe[index]
            index -= len(pipe)
        raise IndexError(f"Concater: index {index} is behind the last item")

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class Zipper(MapDataPipe):
    """Tuples of the items of several pipes."""

    def __init__(self, *datapipes: Any):
        self.datapipes = datapipes

    def __getitem__(self, index: int) -> tuple:
        return tuple(pipe[index] for pipe in self.datapipes)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))
