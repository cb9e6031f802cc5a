"""utils.data: datasets, samplers, and the DataLoader that makes batches of them.

Read in this order
  dataset      where items come from
  sampler      in which order
  dataloader   the DataLoader
  distributed  a sampler's share for one of several processes
  datapipes    datasets that are chained; graph_settings
  _utils       how batches are fetched, collated, made by workers
Stands on: core, ops, multiprocessing.
"""

import importlib

from mashal.nearest import nearest
from mashal.utils.data import _utils, dataloader, dataset, distributed, sampler
from mashal.utils.data._utils.collate import default_collate, default_convert
from mashal.utils.data._utils.worker import get_worker_info
from mashal.utils.data.dataloader import DataLoader
from mashal.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from mashal.utils.data.distributed import DistributedSampler
from mashal.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterDataPipe",
    "IterableDataset",
    "MapDataPipe",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "functional_datapipe",
    "get_worker_info",
    "random_split",
]

_PIPES = ("IterDataPipe", "MapDataPipe", "functional_datapipe")  # imported when they are first asked for
__getattr__ = nearest(
    __name__,
    {"datapipes", "graph_settings"},
    lambda name: getattr(importlib.import_module(f"{__name__}.datapipes.pipes"), name) if name in _PIPES else None,
)
