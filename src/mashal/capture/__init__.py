"""mashal.capture"""
