"""torch.utils.tensorboard: what a training does, written for TensorBoard to show. Nothing has to be installed to write it.

    with SummaryWriter("runs/first") as writer:
        writer.add_scalar("loss", 0.5, global_step=1)

records    files of events;  messages: the bytes of what is in them (protocol buffers)
summary    scalars, histograms, images, sounds, texts as summaries;  images: arrays as PNG
graph      the operations behind a model's result
writer     SummaryWriter
"""

from mashal.nearest import nearest
from mashal.utils.tensorboard.records import FileWriter
from mashal.utils.tensorboard.writer import SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]

__getattr__ = nearest(__name__, {"summary"})
