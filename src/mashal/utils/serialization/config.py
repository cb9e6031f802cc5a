"""The options of save and load, as PyTorch's programs set them: `config.load.mmap = True`, `config.save.compute_crc32 = False`.

They are those of `mashal.serialization`, and all of their meaning is there.
"""

from mashal.serialization.settings import load, save

__all__ = ["load", "save"]
