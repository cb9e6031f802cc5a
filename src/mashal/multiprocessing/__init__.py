"""multiprocessing: Python's module, with tensors that go from process to process through shared memory.

Read in this order
  memory      blocks of shared memory without names, and tensors upon them
  reductions  how a tensor is sent (through queues, pipes, arguments of processes)
  spawn       the same function in several processes, and what becomes of them
Everything of Python's `multiprocessing` is here under the same names.
Stands on: core, machine, nn (its Parameter).
"""

import multiprocessing
from multiprocessing import *

from mashal.multiprocessing import memory, reductions
from mashal.multiprocessing.reductions import (
    get_all_sharing_strategies,
    get_sharing_strategy,
    set_sharing_strategy,
)
from mashal.multiprocessing.spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)
from mashal.nearest import nearest

__all__ = [
    *multiprocessing.__all__,
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]

__getattr__ = nearest(__name__)
