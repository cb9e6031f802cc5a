"""nn.utils: what is done to all parameters of a model at once.

clip_grad           keep gradients from growing
convert_parameters  parameters as one vector, and back
rnn, packed         sequences of different lengths
parametrize         parameters that are computed from others; parametrizations: ready ones
weight_norm, spectral_norm   the same by hooks, as it was done before
prune, pruning      parameters with elements kept at 0
fusion              a batch norm becomes part of the layer before it
stateless           modules called with other parameters;  memory_format: of convolutions' weights
"""

from mashal.nearest import nearest
from mashal.nn.utils import fusion, rnn
from mashal.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from mashal.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from mashal.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from mashal.nn.utils.init import skip_init
from mashal.nn.utils.memory_format import convert_conv2d_weight_memory_format, convert_conv3d_weight_memory_format
from mashal.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from mashal.nn.utils.weight_norm import remove_weight_norm, weight_norm

_LATER = {"parametrizations", "parametrize", "prune", "stateless"}
__all__ = [
    "convert_conv2d_weight_memory_format",
    "convert_conv3d_weight_memory_format",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "fusion",
    "remove_spectral_norm",
    "remove_weight_norm",
    "spectral_norm",
    "weight_norm",
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

__getattr__ = nearest(__name__, _LATER)
