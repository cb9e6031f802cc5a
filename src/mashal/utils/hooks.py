"""torch.utils.hooks: the handle that registering a hook gives."""

from mashal.core.handles import RemovableHandle

__all__ = ["RemovableHandle"]
