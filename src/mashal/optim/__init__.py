"""torch.optim: optimizers and learning rate schedules.

Read in this order
  optimizer    Optimizer: groups, states; with hooks (hooks) and saving (state)
  rules        optimizers that are an update rule, and how a step becomes one kernel call
  sgd, adam …  the rules, each a formula
Stands on: lang.update (formulas), lower.update (kernels), machine.table (many tensors handed to one kernel).
"""

from mashal.optim.adam import Adam, AdamW
from mashal.optim.optimizer import Optimizer
from mashal.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
