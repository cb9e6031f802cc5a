"""mashal.core: what a tensor is. No arithmetic.

Read in this order
  dtypes, devices, shapes, layouts   the words a form is made of; forms: all of a tensor but its data
  storage, typed_storage             the data as an object; lending: memory that belongs to others
  tape       nodes and grad modes; saved: what a node keeps of tensors; handles: of hooks
  tensor     the tensor: a form over a storage, with its place in the graph
  elements, element_code, nested     Python's numbers in and out
  interop, buffers, dlpack, dlpack_capsules   NumPy, the buffer protocol, DLPack
  printing   a tensor as text
  generator  the state of random numbers

Stands on: machine. Used by: lang and all above.
"""
