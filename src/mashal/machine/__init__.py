"""mashal.machine"""
