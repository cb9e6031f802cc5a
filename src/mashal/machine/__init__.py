"""mashal.machine: what stands between Python and the processor. Knows nothing of tensors.

Read in this order
  host      what this computer is: lanes, registers, cores, memory
  text      LLVM IR as text: values, loops, branches, vectors
  jit       IR text to a function pointer, in one engine; cache: compiled objects on disk
  threads   the pool that kernels share work on
  memory    storage blocks in capsules, freed and found again in native code
  launch    plans: from a Python call to a kernel and back in one native call
  modes     switches of a thread that native code reads
  objects   how native code reads, makes and calls Python objects
  lookup    from operands to the plan that is known for them
  recording, returning, walking   what is noted for backward, the way back through a node, and from node to node
  viewing   views in one call
  observing who is told, while a call is recorded, what happens past the launcher
  replay    a recorded sequence of kernels as one native call;  replay_tables: what it does, as words
  calling   calls of a class's instances without a Python function in between

Stands on: errors, switches. Used by: core and all above.
"""
