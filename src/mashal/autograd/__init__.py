"""mashal.autograd: gradients.

Read in this order
  core.tape      (a floor below) nodes, and the modes that say whether they are recorded
  core.saved     (a floor below) what nodes keep of tensors, and how a change in place is noticed
  roots          `backward` and `grad`: from which gradients to start, and for what
  engine         the walk from node to node; along straight lines of usual nodes it is native (machine.walking)
  targets        walks that lead to chosen places only
  leaves         how a gradient gets into `.grad`, without a copy where nobody would notice
  hooks          functions that see gradients on their way
  inplace        what a change in place does to the graph, and to the views of what changed
  history        detach, detach_
  function       operations of one's own: forward and backward written by hand
  graph          nodes, edges and hooks on what is saved, as users see them
  drawing        the graph as text
  gradients      checks of what people's formulas gave
  forward_ad     tensors with tangents
  functional     jacobian, hessian and products with them
  gradcheck      derivatives held against differences
  anomaly_mode   errors of backward tell which forward call they come from
Stands on: ops, core. Used by: methods, nn, utils.
"""

from mashal.autograd import forward_ad, function, functional, grad_mode, graph, inplace, variable
from mashal.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from mashal.autograd.function import Function
from mashal.autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from mashal.autograd.gradcheck import gradcheck, gradgradcheck
from mashal.autograd.roots import backward, grad
from mashal.autograd.variable import Variable
from mashal.nearest import nearest

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

__getattr__ = nearest(__name__)
