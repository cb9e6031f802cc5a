"""mashal.utils"""
