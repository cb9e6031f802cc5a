"""mashal.methods: what makes of a form over a storage the Tensor that users know.

Read in this order
  attach     operators, methods and in-place forms, from the definitions
  families   methods of what is imported when it is first asked for
  numbers    item, tolist, float(x), x in y, len … : tensors as Python's numbers and sequences
  texts      how tensors print
  gradients  backward, hooks, leaving the graph
  construction  Tensor(…), new, subclasses;  copies: copy.deepcopy;  data: x.data, set_;  subclasses;  rare: seldom used
Stands on: autograd, ops, core. Used by: all that is above.
"""

from mashal.methods import attach, construction, copies, data, families, gradients, numbers, rare, subclasses, texts
