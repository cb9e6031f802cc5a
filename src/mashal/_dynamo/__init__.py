"""What programs ask of torch._dynamo: the names that have to do with compile, and its settings.

The work is done in mashal.capture and mashal.compiler; PyTorch's compiler of this name, its graphs and its guards are not here.

config          settings: limits, and what is kept because there is one way
exc             the exceptions
decorators      marks of sizes, a break that is asked for
eval_frame      optimize, an older name of compile; OptimizedModule
explaining      explain
utils, testing  counters
"""

from __future__ import annotations

from mashal._dynamo import config, decorators, eval_frame, exc, external_utils, testing, utils
from mashal._dynamo.decorators import graph_break, mark_dynamic, mark_static, mark_static_address, maybe_mark_dynamic
from mashal._dynamo.eval_frame import is_dynamo_supported, optimize, optimize_assert
from mashal._dynamo.explaining import ExplainOutput, explain
from mashal.compiler.backends import list_backends, lookup_backend, register_backend
from mashal.compiler.marks import allow_in_graph, assume_constant_result, disable, is_compiling
from mashal.compiler.stances import reset, set_stance
from mashal.nearest import nearest
from mashal.nn.optimized import OptimizedModule

__all__ = [
    "ExplainOutput", "OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "decorators", "disable", "eval_frame",
    "exc", "explain", "external_utils", "graph_break", "is_compiling", "is_dynamo_supported", "list_backends", "lookup_backend",
    "mark_dynamic", "mark_static", "mark_static_address", "maybe_mark_dynamic", "optimize", "optimize_assert",
    "register_backend", "reset", "set_stance", "testing", "utils",
]  # fmt: skip

__getattr__ = nearest(__name__)
