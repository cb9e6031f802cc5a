"""torch.optim: optimizers and learning rate schedules.

Read in this order
  optimizer    Optimizer: groups, states; with hooks (hooks) and saving (state)
  rules        optimizers that are an update rule, and how a step becomes one kernel call
  sgd, adam …  the rules, each a formula
  lbfgs, adafactor, muon, sparse_adam   those that are no update rule; linesearch
  composed     steps that are recorded (differentiable=True)
  lr_scheduler how the learning rate changes
  swa_utils    averages of a model's parameters
Stands on: lang.update (formulas), lower.update (kernels), machine.table (many tensors handed to one kernel).
"""

from mashal.nearest import nearest
from mashal.optim import lr_scheduler, swa_utils
from mashal.optim.adadelta import Adadelta
from mashal.optim.adafactor import Adafactor
from mashal.optim.adagrad import Adagrad
from mashal.optim.adam import Adam
from mashal.optim.adamax import Adamax
from mashal.optim.adamw import AdamW
from mashal.optim.asgd import ASGD
from mashal.optim.lbfgs import LBFGS
from mashal.optim.muon import Muon
from mashal.optim.nadam import NAdam
from mashal.optim.optimizer import Optimizer
from mashal.optim.radam import RAdam
from mashal.optim.rmsprop import RMSprop
from mashal.optim.rprop import Rprop
from mashal.optim.sgd import SGD
from mashal.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
]

__getattr__ = nearest(__name__)
