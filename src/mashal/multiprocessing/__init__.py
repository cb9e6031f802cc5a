"""multiprocessing"""
