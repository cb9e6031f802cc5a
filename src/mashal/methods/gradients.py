"""What autograd gives to tensors: backward, hooks, leaving the graph."""

from mashal.autograd.history import detach, detach_
from mashal.autograd.hooks import register_hook, register_post_accumulate_grad_hook, retain_grad, retains_grad
from mashal.autograd.roots import tensor_backward
from mashal.core.tensor import Tensor

METHODS = {
    "backward": tensor_backward,
    "detach": detach,
    "detach_": detach_,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "retain_grad": retain_grad,
    "retains_grad": property(retains_grad),
}
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
