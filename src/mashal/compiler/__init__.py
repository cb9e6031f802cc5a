"""torch.compile and torch.compiler. The work is done in mashal.capture.

compiling     torch.compile, and what its arguments say
backends      the backends that compile takes by name, and those that are functions
marks         functions that are kept out, constants, whether something is being recorded
stances       what compiled functions do from now on
artifacts     the kernels of a program as bytes, for another machine
config        settings
"""

from __future__ import annotations

from mashal.compiler import config
from mashal.compiler.artifacts import CacheInfo, load_cache_artifacts, save_cache_artifacts
from mashal.compiler.backends import get_default_backend, list_backends, set_default_backend
from mashal.compiler.compiling import compile
from mashal.compiler.marks import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    is_dynamo_compiling,
    is_exporting,
    nested_compile_region,
    wrap_numpy,
)
from mashal.compiler.stances import cudagraph_mark_step_begin, reset, set_stance
from mashal.nearest import nearest

__all__ = [
    "CacheInfo", "allow_in_graph", "assume_constant_result", "compile", "config", "cudagraph_mark_step_begin", "disable",
    "get_default_backend", "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "load_cache_artifacts",
    "nested_compile_region", "reset", "save_cache_artifacts", "set_default_backend", "set_stance", "wrap_numpy",
]  # fmt: skip

__getattr__ = nearest(__name__)
