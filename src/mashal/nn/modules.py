"""nn.modules: PyTorch's places of the layers, for programs that name them (`nn.modules.loss._Loss`)."""

from mashal.nn import (
    activation,
    batchnorm,
    distance,
    dropout,
    flatten,
    linear,
    loss,
    module,
    normalization,
    padding,
    pooling,
    upsampling,
)
from mashal.nn import batchnorm as instancenorm
from mashal.nn import containers as container
from mashal.nn import convolution as conv
from mashal.nn import embedding as sparse
from mashal.nn import folding as fold
from mashal.nn import recurrent as rnn
from mashal.nn import shuffle as pixelshuffle

__all__ = [
    "activation",
    "batchnorm",
    "container",
    "conv",
    "distance",
    "dropout",
    "flatten",
    "fold",
    "instancenorm",
    "linear",
    "loss",
    "module",
    "normalization",
    "padding",
    "pixelshuffle",
    "pooling",
    "rnn",
    "sparse",
    "upsampling",
]
