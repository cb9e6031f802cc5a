"""mashal.utils.serialization: where PyTorch keeps the options of save and load; see `config`."""
