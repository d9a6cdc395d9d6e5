"""Checkpoints: where one lies, what it holds, and slices of its tensors without the model."""

from catalog.ingest.checkpoint.reader import Checkpoint, DeviceMap
from catalog.ingest.checkpoint.source import gguf_checkpoints, open_checkpoint

__all__ = ["Checkpoint", "DeviceMap", "gguf_checkpoints", "open_checkpoint"]
