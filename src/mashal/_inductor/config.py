"""torch._inductor.config: how compile is to make kernels. All of it are wishes about speed: there is one way, and it is taken.

They are the names that `torch.compile(options=...)` takes: known ones are accepted, with a value of the right type. What
would show something, or write files, says where it is to be had instead.
"""

from __future__ import annotations

import os

from mashal.configured import configured

_SHOWN = "torch.explain(function, *arguments) shows what is compiled, and saves a picture of it"
_PRINTED = "the switch MASHAL_SHOW=trail,ir prints what compile makes"
_NO_GRAPH = "there is no graph here that a function could change"
_GROUPS = {
    "": {
        "aggressive_fusion": False, "allow_buffer_reuse": True, "assume_aligned_inputs": False, "autotune_in_subproc": False,
        "autotune_local_cache": True, "autotune_remote_cache": None, "b2b_gemm_pass": False, "batch_fusion": True,
        "batch_invariant": False, "benchmark_combo_kernel": False, "benchmark_epilogue_fusion": True, "benchmark_fusion": False,
        "benchmark_kernel": False, "combo_kernels": False, "comment_origin": False, "compile_threads": os.cpu_count() or 1,
        "comprehensive_padding": True, "constant_and_index_propagation": True, "conv_1x1_as_mm": False,
        "coordinate_descent_check_all_directions": False, "coordinate_descent_search_radius": 1,
        "coordinate_descent_tuning": False, "cpp_wrapper": False, "cpu_backend": "cpp", "cuda_backend": "triton", "dce": False,
        "debug": False, "decompose_mem_bound_mm": False, "deterministic": False, "developer_warnings": False,
        "disable_progress": True, "dynamic_scale_rblock": True, "efficient_conv_bn_eval_fx_passes": False,
        "emulate_precision_casts": False, "epilogue_fusion": True, "epilogue_fusion_first": False, "fallback_by_default": False,
        "fallback_random": False, "force_fuse_int_mm_with_mul": False, "force_layout_optimization": False,
        "force_shape_pad": False, "freezing": False, "freezing_discard_parameters": False, "fx_graph_cache": True,
        "fx_graph_remote_cache": None, "graph_partition": True, "group_fusion": False, "implicit_fallbacks": True,
        "inplace_buffers": True, "inplace_padding": True, "joint_graph_constant_folding": True, "keep_output_stride": True,
        "layout_optimization": True, "loop_ordering_after_fusion": True, "max_autotune": False,
        "max_autotune_conv_backends": "ATEN,TRITON", "max_autotune_flex_search_space": "DEFAULT", "max_autotune_gemm": False,
        "max_autotune_gemm_backends": "ATEN,TRITON,CPP", "max_autotune_gemm_search_space": "DEFAULT",
        "max_autotune_pointwise": False, "max_fusion_size": 64, "memory_planning": False, "mixed_mm_choice": "heuristic",
        "online_softmax": True, "pad_outputs": False, "pattern_matcher": True, "permute_fusion": False,
        "pick_loop_orders": True, "post_grad_custom_post_pass": None, "post_grad_custom_pre_pass": None,
        "joint_custom_post_pass": None, "joint_custom_pre_pass": None, "pre_grad_custom_pass": None,
        "profile_bandwidth": False, "prologue_fusion": True, "realize_opcount_threshold": None, "realize_reads_threshold": 4,
        "reorder_for_compute_comm_overlap": False, "reorder_for_locality": True, "reorder_for_peak_memory": True,
        "search_autotune_cache": False, "selective_decompose": False, "shape_padding": True, "size_asserts": True,
        "split_cat_fx_passes": True, "split_reductions": True, "static_weight_shapes": True,
        "unroll_reductions_threshold": 8, "use_dce": True, "use_fast_math": False, "use_joint_graph_passes": True,
        "use_mixed_mm": True, "use_post_grad_passes": True, "use_pre_grad_passes": True, "verbose_progress": False,
        "worker_start_method": "subprocess",
    },
    "triton.": {
        "autotune_at_compile_time": None, "autotune_cublasLt": True, "autotune_pointwise": True,
        "codegen_upcast_to_fp32": True, "cooperative_reductions": False, "cudagraph_dynamic_shape_warn_limit": 8,
        "cudagraph_skip_dynamic_graphs": False, "cudagraph_support_input_mutation": True, "cudagraph_trees": True,
        "cudagraph_unexpected_rerecord_limit": 128, "cudagraphs": False, "dense_indexing": False,
        "descriptive_names": "original_aten", "divisible_by_16": True, "enable_persistent_tma_matmul": False,
        "fast_path_cudagraph_asserts": False, "max_tiles": None, "multi_kernel": 0, "native_matmul": False,
        "persistent_reductions": True, "prefer_nd_tiling": False, "reorder_for_reducing_graph_partitions": True,
        "skip_cudagraph_warmup": False, "slow_path_cudagraph_asserts": True, "spill_threshold": 16, "store_cubin": False,
        "tile_reductions": False, "tiling_prevents_pointwise_fusion": True, "tiling_prevents_reduction_fusion": True,
        "unique_kernel_names": True, "use_block_ptr": False,
    },
    "cpp.": {
        "cxx": (None, "g++"), "dynamic_threads": False, "enable_floating_point_contract_flag": "off",
        "enable_kernel_profile": False, "enable_loop_tail_vec": True, "enable_tiling_heuristics": True,
        "enable_unsafe_math_opt_flag": False, "fallback_scatter_reduce_sum": True, "gemm_cache_blocking": None,
        "gemm_max_k_slices": 1, "gemm_thread_factors": None, "march": None, "max_horizontal_fusion_size": 16,
        "min_chunk_size": 512, "no_redundant_loops": True, "simdlen": None, "threads": -1, "weight_prepack": True,
    },
    "trace.": {
        "compile_profile": False, "debug_dir": None, "debug_log": False, "enabled": False, "graph_diagram": False,
        "info_log": False,
    },
}  # fmt: skip
_ELSEWHERE = {
    "cpp.enable_kernel_profile": _SHOWN, "debug": _PRINTED, "joint_custom_post_pass": _NO_GRAPH,
    "joint_custom_pre_pass": _NO_GRAPH, "post_grad_custom_post_pass": _NO_GRAPH, "post_grad_custom_pre_pass": _NO_GRAPH,
    "pre_grad_custom_pass": _NO_GRAPH, "profile_bandwidth": _SHOWN, "trace.compile_profile": _SHOWN,
    "trace.debug_dir": _PRINTED, "trace.debug_log": _PRINTED, "trace.enabled": _PRINTED, "trace.graph_diagram": _SHOWN,
    "trace.info_log": _PRINTED,
}  # fmt: skip
_DEFAULTS = {group + name: value for group, settings in _GROUPS.items() for name, value in settings.items()}
configured(__name__, _DEFAULTS, elsewhere=_ELSEWHERE)
