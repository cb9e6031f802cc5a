"""nn.utils: what is done to all parameters of a model at once.

clip_grad           keep gradients from growing
convert_parameters  parameters as one vector, and back
"""

from mashal.nearest import nearest
from mashal.nn.utils import rnn
from mashal.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from mashal.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from mashal.nn.utils.init import skip_init

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "rnn",
    "skip_init",
    "vector_to_parameters",
]

__getattr__ = nearest(__name__)
