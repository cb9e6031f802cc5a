"""mashal.nn: layers, losses, and what models are made of.

Read in this order
  parameter      tensors that a module owns
  registry       the dictionaries inside a module
  module         Module itself; its parts: hooks (with boundary), tree, conversion, state, printing
  containers     modules of modules; parameter_containers: of parameters
  linear, convolution, transposed_convolution, activation, gates, normalization, batchnorm,
    dropout, embedding, flatten, shuffle, distance, loss,
    margin_loss  the layers
  functional     the functions behind them; functions: those that are more than an operation
  init           first values of parameters
  utils          what is done to all parameters at once
Stands on: ops, autograd, core. Used by: programs.
"""

from mashal.nearest import nearest
from mashal.nn import functional, init, modules, parameter, utils
from mashal.nn.activation import (
    CELU,
    ELU,
    SELU,
    Hardshrink,
    LeakyReLU,
    PReLU,
    ReLU,
    RReLU,
    Softplus,
    Softshrink,
    Tanhshrink,
    Threshold,
)
from mashal.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from mashal.nn.containers import Container, ModuleDict, ModuleList, Sequential
from mashal.nn.convolution import Conv1d, Conv2d, Conv3d
from mashal.nn.distance import CosineSimilarity, PairwiseDistance
from mashal.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout
from mashal.nn.embedding import Embedding
from mashal.nn.flatten import Flatten, Unflatten
from mashal.nn.gates import (
    GELU,
    GLU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmax2d,
    Softmin,
    Softsign,
    Tanh,
)
from mashal.nn.linear import Bilinear, Identity, Linear
from mashal.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    NLLLoss2d,
    PoissonNLLLoss,
    SmoothL1Loss,
)
from mashal.nn.margin_loss import (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)
from mashal.nn.module import Module
from mashal.nn.normalization import GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm
from mashal.nn.parameter import Buffer, Parameter
from mashal.nn.parameter_containers import ParameterDict, ParameterList
from mashal.nn.shuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle
from mashal.nn.transposed_convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

__all__ = [
    "AlphaDropout",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "Buffer",
    "CELU",
    "ChannelShuffle",
    "Container",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "ELU",
    "Embedding",
    "FeatureAlphaDropout",
    "Flatten",
    "GELU",
    "GLU",
    "GaussianNLLLoss",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MarginRankingLoss",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "NLLLoss2d",
    "PReLU",
    "PairwiseDistance",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "PixelShuffle",
    "PixelUnshuffle",
    "PoissonNLLLoss",
    "RMSNorm",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "Unflatten",
    "functional",
    "init",
    "modules",
    "parameter",
    "utils",
]

__getattr__ = nearest(__name__)
