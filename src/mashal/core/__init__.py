"""mashal.core"""
