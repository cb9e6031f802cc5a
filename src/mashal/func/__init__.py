"""torch.func: functions that make functions, of gradients and of many samples.

Read in this order
  batching                      tensors with a hidden batch dimension, and what becomes of a call on them
  kinds, rules, joined_rules    the rules of operations: by kind, of one tensor, of several
  vmap                          the transformation
  differentiation, transforms, jacobians   gradients, forward derivatives, Jacobians
  patterns                      rearrange: dimensions by names
  functions, modules            autograd.Function mapped; modules as functions of their parameters

Loaded when it is first asked for; until then nothing looks at calls (ops.interception).
"""

from mashal.func.jacobians import hessian, jacfwd, jacrev
from mashal.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from mashal.func.patterns import rearrange
from mashal.func.transforms import debug_unwrap, functionalize, grad, grad_and_value, jvp, linearize, vjp
from mashal.func.vmap import vmap

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]
