"""mashal: deep learning in Python alone."""
