"""nn.functions: the functions of `nn.functional` that are more than an operation, by family.

  reduction      what the losses' `reduction` (and its two old spellings) means
  activations    operations with an `inplace` argument, and softmax with its old default dim
  dropout        arguments checked, then the operation that draws
  normalization  over a batch, an example, neighbouring channels
  sparse         embedding: indices into rows of a table; bags: the rows joined
  losses         the losses' arguments; margin_losses: those that compare with a margin;
                 ctc: of sequences; linear_loss: with a linear layer before
  multihead      attention in several heads
  shuffle        between channels and places
  time           convolution over time, steps first
  distances      between rows, and what is measured with them

`mashal.nn.functional` lists their names, with those of the operations themselves.
"""
