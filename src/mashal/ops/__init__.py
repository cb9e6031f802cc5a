"""mashal.ops"""
