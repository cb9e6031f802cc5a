"""mashal.cuda"""
