"""The parts behind DataLoader.

Read in this order
  fetch      which items make a batch
  collate    many items as one batch of tensors
  iterators  an epoch: in this process, or with workers
  crew       the workers as the parent sees them: asking, waiting, failures, the end
  worker     the workers as they see themselves: seeds, the loop
  parcel     a batch as a message: its tensors in one shared block, the rest pickled
  channel    whole messages over a socket pair
"""

from mashal.utils.data._utils import channel, collate, crew, fetch, iterators, parcel, worker

__all__ = ["channel", "collate", "crew", "fetch", "iterators", "parcel", "worker"]
