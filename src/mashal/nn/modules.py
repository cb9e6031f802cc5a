"""nn.modules: PyTorch's places of the layers, for programs that name them (`nn.modules.loss._Loss`).

A place has the names of our files that its layers are in, and can be imported (`from torch.nn.modules.utils import _pair`).
"""

from __future__ import annotations

import sys
import types
from typing import Any

from mashal.nearest import nearest
from mashal.nn import (
    activation,
    bags,
    batchnorm,
    containers,
    convolution,
    distance,
    dropout,
    embedding,
    flatten,
    folding,
    gates,
    lazy,
    linear,
    loss,
    margin_loss,
    module,
    multihead,
    normalization,
    padding,
    parameter_containers,
    pooling,
    recurrent,
    recurrent_cells,
    sequence_loss,
    shuffle,
    transformer,
    transposed_convolution,
    tuples,
    upsampling,
)

_PLACES = {
    "activation": (activation, gates, multihead), "adaptive": (sequence_loss,), "batchnorm": (batchnorm, lazy),
    "channelshuffle": (shuffle,), "container": (containers, parameter_containers), "conv": (convolution, transposed_convolution, lazy),
    "distance": (distance,), "dropout": (dropout,), "flatten": (flatten,), "fold": (folding,), "instancenorm": (batchnorm, lazy),
    "lazy": (lazy,), "linear": (linear, lazy), "loss": (loss, margin_loss, sequence_loss), "module": (module,),
    "normalization": (normalization,), "padding": (padding,), "pixelshuffle": (shuffle,), "pooling": (pooling,),
    "rnn": (recurrent, recurrent_cells), "sparse": (embedding, bags), "transformer": (transformer,), "upsampling": (upsampling,),
    "utils": (tuples,),
}  # fmt: skip


def _joined(name: str, files: tuple[types.ModuleType, ...]) -> types.ModuleType:
    place = types.ModuleType(
        f"{__name__}.{name}", f"nn.modules.{name}: PyTorch's place of what is in {files[0].__name__}."
    )
    for file in files:
        vars(place).update({n: x for n, x in vars(file).items() if not n.startswith("__")})
    sys.modules[place.__name__] = place
    return place


_joined_places: dict[str, Any] = {name: _joined(name, files) for name, files in _PLACES.items()}
_LAYERS = {
    name: thing
    for place in _joined_places.values()
    for name, thing in vars(place).items()
    if isinstance(thing, type) and issubclass(thing, module.Module) and not name.startswith("_")
}
globals().update(_LAYERS)
globals().update(_joined_places)
__all__ = sorted(_LAYERS)
__getattr__ = nearest(__name__)
