"""The names that files use, which are PyTorch's, and what they stand for here.

A pickle names functions and classes as "module name". What mashal defines is written under PyTorch's name for it, so
that PyTorch reads it; names that begin with torch are looked up in mashal, so that a file is read without PyTorch.
Three tables: the storage classes (one a dtype), what has a name of its own, and nn's modules, which PyTorch spreads
over many files. Everything else is found by its path: torch.a.b.C is mashal.a.b.C, or C in the nearest package above.

Stands on core. Used by the picklers of `saving` and the unpicklers of `loading`.
"""

from __future__ import annotations

import copyreg
import importlib
import pickle
import sys
from typing import Any

from mashal.core import dtypes
from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tensor import Tensor
from mashal.serialization.memory import StorageType

STORAGE_CLASSES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
}
CLASS_OF_DTYPE = {name: storage for storage, name in STORAGE_CLASSES.items()}

UNTYPED = ("complex32", "uint64", "uint32", "uint16", "float8_e5m2", "float8_e4m3fn")  # dtypes without a storage class
DTYPES: dict[str, dtype] = {
    name: getattr(dtypes, name) for name in (*STORAGE_CLASSES.values(), *UNTYPED) if hasattr(dtypes, name)
}

OWN_NAMES: dict[Any, tuple[str, str]] = {
    Tensor: ("torch", "Tensor"),
    Size: ("torch", "Size"),
    device: ("torch", "device"),
    dtype: ("torch", "dtype"),
    UntypedStorage: ("torch.storage", "UntypedStorage"),
}
MEANINGS: dict[tuple[str, str], Any] = {name: meaning for meaning, name in OWN_NAMES.items()}

NN_FILES = {
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "activation": """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish
        MultiheadAttention PReLU ReLU ReLU6 RReLU SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink
        Softsign Tanh Tanhshrink Threshold""",
    "batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d SyncBatchNorm",
    "channelshuffle": "ChannelShuffle",
    "container": "Container ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "conv": """Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d LazyConv3d
        LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d""",
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": """InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d
        LazyInstanceNorm3d""",
    "linear": "Bilinear Identity LazyLinear Linear NonDynamicallyQuantizableLinear",
    "loss": """BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss
        HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MSELoss MarginRankingLoss MultiLabelMarginLoss
        MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss SmoothL1Loss SoftMarginLoss
        TripletMarginLoss TripletMarginWithDistanceLoss""",
    "module": "Module",
    "normalization": "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "padding": """CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d
        ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d
        ZeroPad3d""",
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": """AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
        AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d
        LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d""",
    "rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "sparse": "Embedding EmbeddingBag",
    "transformer": "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer",
    "upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}
NN_FILE_OF = {name: file for file, names in NN_FILES.items() for name in names.split()}


def storage_class(name: str) -> StorageType:
    """A storage class by its name."""
    return StorageType(name, DTYPES[STORAGE_CLASSES[name]])


copyreg.pickle(StorageType, lambda kind: (storage_class, (kind.name,)))  # for picklers that are not ours


def name_of(dtype_: dtype) -> str:
    """A dtype's name without "torch.".

    >>> name_of(DTYPES["float32"])
    'float32'
    """
    return str(dtype_).rpartition(".")[2]


def named(name: tuple[str, str]) -> Any:
    """A decorator: files write this function or class under this name, and read it from there."""

    def keep(meaning: Any) -> Any:
        OWN_NAMES[meaning] = name
        MEANINGS[name] = meaning
        return meaning

    return keep


def written_name(thing: Any, name: str | None = None) -> tuple[str, str]:
    """The (module, name) under which a function, class or dtype is written.

    name: what the thing's `__reduce_ex__` gave for its name, if it did.
    PicklingError if the thing cannot be found again by that name.

    >>> written_name(Size)
    ('torch', 'Size')
    >>> written_name(DTYPES["float16"])
    ('torch', 'float16')
    """
    if isinstance(thing, dtype):
        return "torch", name_of(thing)
    try:
        own = OWN_NAMES.get(thing)
    except TypeError:  # an unhashable thing has no name of its own
        own = None
    if own is not None:
        return own
    name = str(name or getattr(thing, "__qualname__", None) or thing.__name__)
    module = pickle.whichmodule(thing, name)
    if looked_up(module, name) is not thing:
        raise pickle.PicklingError(
            f"save: {thing!r} cannot be found as {module}.{name}; only what a module defines by name can be saved"
        )
    return torch_name(module, name)


def torch_name(module: str, name: str) -> tuple[str, str]:
    """PyTorch's name for what mashal defines as module.name; other names as they are.

    >>> torch_name("mashal.nn.linear", "Linear"), torch_name("mashal.optim.adam", "Adam")
    (('torch.nn.modules.linear', 'Linear'), ('torch.optim', 'Adam'))
    """
    if module == "mashal":
        return "torch", name
    if (module, name) == ("mashal.core.generator", "Generator"):
        return "torch._C", name
    if module.startswith("mashal.nn.") and name in NN_FILE_OF:
        return f"torch.nn.modules.{NN_FILE_OF[name]}", name
    if module.startswith("mashal.nn.functions."):
        return "torch.nn.functional", name
    if module.startswith("mashal.nn.") and name in ("Parameter", "Buffer"):
        return "torch.nn.parameter", name
    if module.startswith("mashal.optim."):
        return ("torch.optim.lr_scheduler" if "schedul" in module else "torch.optim"), name
    if module.startswith("mashal.utils.data."):
        return "torch.utils.data", name
    if module.startswith("mashal."):
        return "torch." + module.removeprefix("mashal."), name
    return module, name


def meaning_of(module: str, name: str) -> Any:
    """What a file's name stands for; raises as an import does (ImportError, AttributeError) if there is no such thing."""
    module = {"torch.tensor": "torch._tensor"}.get(module, module)
    if (module, name) in MEANINGS:
        return MEANINGS[module, name]
    if module == "torch" and name in DTYPES:
        return DTYPES[name]
    if module.split(".")[0] != "torch":
        importlib.import_module(module)
        return attribute(sys.modules[module], name)
    return in_mashal("mashal" + module.removeprefix("torch"), name)


def in_mashal(path: str, name: str) -> Any:
    """The attribute `name` of the module at `path`, or of the nearest package above that has it."""
    at = path
    while at:
        try:
            return attribute(importlib.import_module(at), name)
        except (ModuleNotFoundError, AttributeError):
            at = at.rpartition(".")[0]
    raise AttributeError(f"load: mashal has no {path.replace('mashal', 'torch', 1)}.{name}")


def attribute(module: Any, name: str) -> Any:
    """The thing that a dotted name stands for inside a module."""
    for part in name.split("."):
        module = getattr(module, part)
    return module


def looked_up(module: str, name: str) -> Any:
    """What module.name is now, or None."""
    try:
        return attribute(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
