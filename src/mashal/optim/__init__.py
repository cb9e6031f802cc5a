"""mashal.optim"""
