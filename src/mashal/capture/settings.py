"""What a program may set of compile: torch._dynamo.config with PyTorch's names, and the stance (torch.compiler.set_stance).

The first settings are heeded; the others choose between ways of which there is one here, so they are kept and given back.
Stands on nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DEFAULTS", "SETTINGS", "Stance"]

_HEEDED = {
    "recompile_limit": 8,  # so many recordings of a compiled function are made at most
    "fail_on_recompile_limit_hit": False,  # what does not fit when the limit is reached is an error
    "error_on_recompile": False,  # a second recording is an error
    "automatic_dynamic_shapes": True,  # False: dynamic=None is dynamic=False
    "assume_static_by_default": True,  # False: dynamic=None is dynamic=True
    "disable": False,  # True: compiled functions run as they are written
    "suppress_errors": False,  # True: where a backend that is a function fails, the function runs as it is written
}
_KEPT = {
    "accumulated_recompile_limit": 256,
    "allow_rnn": False, "allow_unspec_int_on_nn_module": False, "allow_ignore_mark_dynamic": False,
    "capture_autograd_function": True, "capture_dynamic_output_shape_ops": False, "capture_func_transforms": True,
    "capture_scalar_outputs": False, "capture_sparse_compute": True, "caching_precompile": False, "compiled_autograd": False,
    "cudagraph_backend_keep_input_mutation": False, "cudagraph_backend_support_input_mutation": False,
    "dead_code_elimination": None, "do_not_emit_runtime_asserts": False, "dynamic_shapes": True,
    "enable_compiler_collectives": False, "enable_cpp_guard_manager": True, "enable_faithful_generator_behavior": True,
    "fake_tensor_cache_enabled": True, "force_nn_module_property_static_shapes": True, "force_parameter_static_shapes": True,
    "guard_nn_modules": True, "guard_nn_modules_using_dict_tags": True, "ignore_logging_functions": set(),
    "inline_inbuilt_nn_modules": True, "log_compilation_metrics": True, "log_level": None, "minimum_call_count": 1,
    "nested_graph_breaks": False, "optimize_ddp": True, "optimize_ddp_lazy_compile": False,
    "prefer_deferred_runtime_asserts_over_guards": False, "prepare_freezing": False, "raise_on_ctx_manager_usage": True,
    "reorderable_logging_functions": set(), "report_guard_failures": True, "rewrite_assert_with_torch_assert": True,
    "run_gc_after_compile": True, "skip_fsdp_guards": True, "skip_nnmodule_hook_guards": True,
    "skip_no_tensor_aliasing_guards_on_parameters": True, "skip_tensor_guards_with_matching_dict_tags": True,
    "specialize_float": False, "specialize_int": False, "trace_numpy": True, "traceable_tensor_subclasses": set(),
    "use_lazy_graph_module": True, "verbose": False,
}  # fmt: skip
DEFAULTS: dict[str, Any] = {**_HEEDED, **_KEPT}
SETTINGS = dict(DEFAULTS)
"""What is set now."""


class Stance:
    """What compiled functions do now: PyTorch's name for it."""

    name = "default"
