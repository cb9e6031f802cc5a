"""mashal.lang: the language in which kernels say what they compute.

Read in this order
  expression   scalar expressions: what an operation computes for one element
  complex      functions of complex numbers, from real ones
  nest         expressions with their operands and results: what a kernel computes
  derivative   the derivative of an expression, as an expression

How a nest is run is not said here: that is lower. Stands on: core. Used by: lower, ops.
"""
