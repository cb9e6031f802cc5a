"""Pipes over what comes one after another: wrapped, mapped, filtered, shuffled, batched, put together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mashal.core.dtypes import int64
from mashal.errors import message
from mashal.ops import empty
from mashal.utils.data._utils.collate import default_collate
from mashal.utils.data.datapipes.pipes import IterDataPipe, functional_datapipe

__all__ = ["Batcher", "Collator", "Concater", "Filter", "IterableWrapper", "Mapper", "Sampler", "ShardingFilter", "Shuffler", "UnBatcher",
           "Zipper"]  # fmt: skip


class IterableWrapper(IterDataPipe):
    """An iterable as a pipe."""

    def __init__(self, iterable: Iterable, deepcopy: bool = True):
        self.iterable = iterable

    def __iter__(self) -> Iterator:
        return iter(self.iterable)

    def __len__(self) -> int:
        return len(self.iterable)  # type: ignore[arg-type]


@functional_datapipe("map")
class Mapper(IterDataPipe):
    """fn of every item, or of its column input_col, put into column output_col."""

    def __init__(self, datapipe: Any, fn: Callable[..., Any], input_col: Any = None, output_col: Any = None):
        self.datapipe, self.fn, self.input_col, self.output_col = datapipe, fn, input_col, output_col

    def _of(self, item: Any) -> Any:
        if self.input_col is None:
            return self.fn(item)
        several = isinstance(self.input_col, (list, tuple))
        made = self.fn(*(item[c] for c in self.input_col)) if several else self.fn(item[self.input_col])
        place = self.output_col if self.output_col is not None else self.input_col[0] if several else self.input_col
        if isinstance(item, dict):
            return {**item, place: made}
        changed = list(item)
        if place == -1 and self.output_col == -1:
            changed.append(made)
        else:
            changed[place] = made
        return tuple(changed) if isinstance(item, tuple) else changed

    def __iter__(self) -> Iterator:
        return map(self._of, self.datapipe)

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("filter")
class Filter(IterDataPipe):
    """The items for which filter_fn (of them, or of their column input_col) is True."""

    def __init__(self, datapipe: Any, filter_fn: Callable[..., bool], input_col: Any = None):
        self.datapipe, self.filter_fn, self.input_col = datapipe, filter_fn, input_col

    def __iter__(self) -> Iterator:
        for item in self.datapipe:
            if self.filter_fn(item if self.input_col is None else item[self.input_col]):
                yield item


@functional_datapipe("batch")
class Batcher(IterDataPipe):
    """Lists of batch_size items; the last may be shorter, unless drop_last."""

    def __init__(self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: type = list):
        if batch_size <= 0:
            raise AssertionError(message("Batcher", f"batch size is required to be larger than 0, it is {batch_size}"))
        self.datapipe, self.batch_size, self.drop_last, self.wrapper_class = (
            datapipe,
            batch_size,
            drop_last,
            wrapper_class,
        )

    def __iter__(self) -> Iterator:
        batch: list = []
        for item in self.datapipe:
            batch.append(item)
            if len(batch) == self.batch_size:
                yield self.wrapper_class(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.wrapper_class(batch)

    def __len__(self) -> int:
        n = len(self.datapipe)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


@functional_datapipe("unbatch")
class UnBatcher(IterDataPipe):
    """The items of lists, unbatch_level deep (-1: however deep)."""

    def __init__(self, datapipe: Any, unbatch_level: int = 1):
        self.datapipe, self.unbatch_level = datapipe, unbatch_level

    def _inside(self, item: Any, level: int) -> Iterator:
        if level == 0 or (level < 0 and not isinstance(item, list)):
            yield item
            return
        for part in item:
            yield from self._inside(part, level - 1)

    def __iter__(self) -> Iterator:
        for item in self.datapipe:
            yield from self._inside(item, self.unbatch_level)


@functional_datapipe("shuffle")
class Shuffler(IterDataPipe):
    """The items in random order, drawn from a buffer; set_shuffle(False) leaves them in theirs."""

    def __init__(self, datapipe: Any, *, buffer_size: int = 10000, unbatch_level: int = 0):
        if buffer_size <= 0:
            raise ValueError(message("Shuffler", f"buffer_size should be larger than 0, it is {buffer_size}"))
        self.datapipe = datapipe if unbatch_level == 0 else UnBatcher(datapipe, unbatch_level)
        self.buffer_size, self._enabled, self._seed = buffer_size, True, None

    def set_shuffle(self, shuffle: bool = True) -> Shuffler:
        """Whether the order is random."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> Shuffler:
        """Sets the seed of the next pass; without one it is drawn."""
        self._seed = seed
        return self

    def __iter__(self) -> Iterator:
        if not self._enabled:
            yield from self.datapipe
            return
        seed = int(empty((), dtype=int64).random_()) if self._seed is None else self._seed  # type: ignore[attr-defined]
        self._seed = None
        draw, buffer = random.Random(seed), []
        for item in self.datapipe:
            if len(buffer) == self.buffer_size:
                place = draw.randint(0, len(buffer) - 1)
                buffer[place], item = item, buffer[place]
                yield item
            else:
                buffer.append(item)
        while buffer:
            yield buffer.pop(draw.randint(0, len(buffer) - 1))

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("collate")
class Collator(IterDataPipe):
    """collate_fn of every batch; default_collate unless given."""

    def __init__(self, datapipe: Any, conversion: Any = default_collate, collate_fn: Any = None):
        self.datapipe, self.collate_fn = datapipe, collate_fn or conversion

    def __iter__(self) -> Iterator:
        return map(self.collate_fn, self.datapipe)

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("concat")
class Concater(IterDataPipe):
    """The items of several pipes, one after another."""

    def __init__(self, *datapipes: Any):
        self.datapipes = datapipes

    def __iter__(self) -> Iterator:
        for pipe in self.datapipes:
            yield from pipe

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class Zipper(IterDataPipe):
    """Tuples of the items of several pipes, as long as all have one."""

    def __init__(self, *datapipes: Any):
        self.datapipes = datapipes

    def __iter__(self) -> Iterator:
        return zip(*self.datapipes)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))


@functional_datapipe("sharding_filter")
class ShardingFilter(IterDataPipe):
    """Every so many-th item: what one of several workers takes."""

    def __init__(self, source_datapipe: Any, sharding_group_filter: Any = None):
        self.source_datapipe, self.num_of_instances, self.instance_id = source_datapipe, 1, 0

    def apply_sharding(self, num_of_instances: int, instance_id: int, sharding_group: Any = None) -> None:
        """Says of how many workers this is which one."""
        if instance_id >= num_of_instances:
            raise ValueError(
                message("ShardingFilter", f"instance_id({instance_id}) should be smaller than {num_of_instances}")
            )
        self.num_of_instances, self.instance_id = num_of_instances, instance_id

    def __iter__(self) -> Iterator:
        for i, item in enumerate(self.source_datapipe):
            if i % self.num_of_instances == self.instance_id:
                yield item


class Sampler(IterDataPipe):
    """The places that a sampler gives for a pipe that knows its length."""

    def __init__(self, datapipe: Any, sampler: Any, sampler_args: tuple = (), sampler_kwargs: dict | None = None):
        self.sampler = sampler(datapipe, *sampler_args, **(sampler_kwargs or {}))

    def __iter__(self) -> Iterator:
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)
