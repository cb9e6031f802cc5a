"""mashal.lang"""
