"""torch.optim.lr_scheduler: how the learning rate changes while one trains.

Read in this order
  base       LRScheduler, and the small functions all are written with
  factors    by factors: in steps, along a line or a power, by functions
  cosine     along a cosine, once or again and again
  cycles     up and down, with momentum the other way
  plateau    down when a measure no longer improves
  combined   several, one after another or all at once
"""

from mashal.nearest import nearest
from mashal.optim.lr_scheduler.base import LRScheduler, _LRScheduler
from mashal.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from mashal.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from mashal.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from mashal.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from mashal.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LRScheduler",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR",
    "StepLR", "_LRScheduler",
]  # fmt: skip

__getattr__ = nearest(__name__)
