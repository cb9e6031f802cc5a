"""mashal.nn"""
