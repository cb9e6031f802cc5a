"""torch.cuda for a build without CUDA: `is_available()` is False, questions are answered, uses are refused.

absent    devices, streams, events;  streams: the same under their module's name
graphs    recorded work, pools of memory;  nccl: the library between devices
memory    statistics;  watching: load and temperature
random    seeds and states
tensors   FloatTensor … on a device
nvtx, profiler   marks for a profiler
amp       autocast and GradScaler under their old names
"""

from mashal.cuda import absent, amp, graphs, memory, nccl, nvtx, profiler, random, streams, tensors, watching
from mashal.cuda.absent import *
from mashal.cuda.graphs import *
from mashal.cuda.memory import *
from mashal.cuda.random import *
from mashal.cuda.tensors import *
from mashal.cuda.watching import *
from mashal.errors import OutOfMemoryError
from mashal.nearest import nearest

__all__ = [*absent.__all__, *graphs.__all__, *memory.__all__, *random.__all__, *tensors.__all__, *watching.__all__,
           "OutOfMemoryError", "amp", "graphs", "memory", "nccl", "nvtx", "profiler", "random", "streams"]  # fmt: skip

__getattr__ = nearest(__name__)
