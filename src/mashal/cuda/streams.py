"""torch.cuda.streams: queues of work and marks in them."""

from mashal.cuda.absent import Event, Stream
from mashal.cuda.graphs import ExternalStream

__all__ = ["Event", "ExternalStream", "Stream"]
