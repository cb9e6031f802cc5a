"""DistributedSampler: each of several processes sees its own share of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

from mashal.core.generator import Generator
from mashal.ops import randperm
from mashal.utils.data.sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every num_replicas-th index, from rank on, of one order that all processes share.

    The order is made evenly divisible: its first indices are repeated at the end, or with drop_last the tail is left
    out. Call `set_epoch(epoch)` before each epoch, or every epoch has the same order.

    >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise RuntimeError(
                "DistributedSampler: there is no process group to ask; give num_replicas= and rank= "
                f"(they are {num_replicas} and {rank})"
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(f"DistributedSampler: rank {rank} is outside the {num_replicas} replicas")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        share, rest = divmod(len(dataset), num_replicas)
        self.num_samples = share if drop_last or not rest else share + 1
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        order = self._order()
        even = list(islice(cycle(order), self.total_size))
        return iter(even[self.rank :: self.num_replicas])

    def _order(self) -> list[int]:
        count = len(self.dataset)
        if not self.shuffle:
            return list(range(count))
        generator = Generator()
        generator.manual_seed(self.seed + self.epoch)
        return randperm(count, generator=generator).tolist()

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch
