"""mashal.autograd"""
