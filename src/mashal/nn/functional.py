"""nn.functional: the functions behind the layers, by their PyTorch names.

Most are operations (`mashal.ops`) as they are; the others, with arguments to check or to translate, are in
`mashal.nn.functions`.
"""

from mashal.nearest import nearest
from mashal.nn.functions.activations import (
    celu,
    elu,
    gumbel_softmax,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    mish,
    relu,
    relu6,
    rrelu,
    rrelu_,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)
from mashal.nn.functions.bags import embedding_bag
from mashal.nn.functions.ctc import ctc_loss
from mashal.nn.functions.distances import cosine_similarity, normalize, pairwise_distance, pdist
from mashal.nn.functions.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from mashal.nn.functions.linear_loss import linear_cross_entropy
from mashal.nn.functions.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from mashal.nn.functions.margin_losses import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from mashal.nn.functions.multihead import multi_head_attention_forward
from mashal.nn.functions.normalization import batch_norm, instance_norm, local_response_norm
from mashal.nn.functions.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from mashal.nn.functions.sparse import embedding
from mashal.nn.functions.time import conv_tbc
from mashal.ops import averages, convolution, folding, grids, interpolation, pooling
from mashal.ops.interception import PLACES, arm_new
from mashal.ops.names import public
from mashal.overrides import (
    handle_torch_function,
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
)

_FAMILIES = averages, convolution, folding, grids, interpolation, pooling  # whose functions are found from here on
_OPERATIONS = {name: f for name, f in public("functional").items() if name not in globals()}
globals().update(_OPERATIONS)
native_channel_shuffle = channel_shuffle
__all__ = [
    *_OPERATIONS,
    "alpha_dropout",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "channel_shuffle",
    "conv_tbc",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "gaussian_nll_loss",
    "gumbel_softmax",
    "handle_torch_function",
    "hardsigmoid",
    "hardswish",
    "has_torch_function_variadic",
    "has_torch_function_unary",
    "has_torch_function",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "leaky_relu",
    "linear_cross_entropy",
    "local_response_norm",
    "log_softmax",
    "margin_ranking_loss",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "native_channel_shuffle",
    "nll_loss",
    "normalize",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "relu",
    "relu6",
    "rrelu",
    "rrelu_",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

PLACES.append(globals())
arm_new()
__getattr__ = nearest(__name__)
