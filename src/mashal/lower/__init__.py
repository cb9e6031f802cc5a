"""mashal.lower"""
