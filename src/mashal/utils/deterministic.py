"""torch.utils.deterministic: whether uninitialised memory is filled when the same results are asked for in every run.

Memory of `empty` holds whatever was there before; nothing that mashal computes depends on it, and the setting is only kept.
"""

fill_uninitialized_memory = True
