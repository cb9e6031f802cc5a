"""mashal.autograd.grad_mode: switching on and off what is recorded. Implemented in core.tape."""

from mashal.core.tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled

__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]
