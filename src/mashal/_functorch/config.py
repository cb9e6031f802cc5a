"""torch._functorch.config: how a compiled function's backward is to be made. There is one way, so settings are kept and given back."""

from mashal.configured import configured

_DEFAULTS = {
    "activation_memory_budget": 1.0, "ban_recompute_reductions": True, "donated_buffer": True, "enable_autograd_cache": True,
    "functionalize_rng_ops": False, "recompute_views": False, "treat_parameters_as_free_to_save": True,
    "unlift_effect_tokens": False, "view_replay_for_aliased_outputs": True,
}  # fmt: skip
configured(__name__, _DEFAULTS)
