"""Detectors: neurons that fire on a few input tokens, and those that never fire."""
