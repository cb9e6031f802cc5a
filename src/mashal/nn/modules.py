"""nn.modules: PyTorch's places of the layers' bases, for programs that name them (`nn.modules.loss._Loss`)."""

from mashal.nn import activation, batchnorm, distance, dropout, flatten, linear, loss, module, normalization
from mashal.nn import batchnorm as instancenorm
from mashal.nn import containers as container
from mashal.nn import convolution as conv
from mashal.nn import embedding as sparse

__all__ = [
    "activation",
    "batchnorm",
    "container",
    "conv",
    "distance",
    "dropout",
    "flatten",
    "instancenorm",
    "linear",
    "loss",
    "module",
    "normalization",
    "sparse",
]
