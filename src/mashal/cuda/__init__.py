"""torch.cuda for a build without CUDA: `is_available()` is False, questions are answered, uses are refused.

absent   devices, streams, events
memory   statistics
random   seeds and states
nvtx     marks for a profiler
amp      autocast and GradScaler under their old names
"""

from mashal.cuda import absent, amp, memory, nvtx, random
from mashal.cuda.absent import *
from mashal.cuda.memory import *
from mashal.cuda.random import *
from mashal.errors import OutOfMemoryError
from mashal.nearest import nearest

__all__ = [*absent.__all__, *memory.__all__, *random.__all__, "OutOfMemoryError", "amp", "memory", "nvtx", "random"]

__getattr__ = nearest(__name__)
