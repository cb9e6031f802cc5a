"""mashal.ops.fourier: Fourier's transforms, by NumPy's pocketfft; gradients, sizes and norms are here.

  transforms    fft, rfft, irfft, hfft … of one, two and more dimensions
  frequencies   fftfreq, fftshift …
  spectrograms  stft, istft

A transform's gradient is a transform, so gradients of gradients follow. The family is imported when one of its names is
first asked for (ops.families).
"""

from mashal.ops.fourier import frequencies, spectrograms, transforms
