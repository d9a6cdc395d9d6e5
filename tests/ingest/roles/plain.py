"""What the stage computes, once more: from the whole model's own modules, in plain float64."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from catalog.role_rule import RoleRule
from catalog.taxonomy import WeightKind

Array = np.ndarray
_NO_INPUT_NORM = ("olmo2", "olmo3")
_POST_NORM = ("gemma2", "gemma3", "gemma3_text", "olmo2", "olmo3")


class Layout(NamedTuple):
    """Where a model without a gate keeps what is compared here; paths within a layer.

    `query_key`: takes rows of the fused matrix, or of queries and keys one below the other, and
    gives those of the queries and of the keys.
    """

    layers: str
    final: str
    input_norm: str
    projections: tuple[str, ...]
    writes: str
    query_key: Callable[[Array, "Plain"], tuple[Array, Array]]
    conv1d: bool = False


def _one_below_the_other(rows: Array, plain: "Plain") -> tuple[Array, Array]:
    n = plain.n_heads * plain.head_dim
    return rows[:n], rows[n : n + plain.n_key_heads * plain.head_dim]


def _by_head(rows: Array, plain: "Plain") -> tuple[Array, Array]:
    parts = rows.reshape(plain.n_heads, 3, plain.head_dim, *rows.shape[1:])
    return parts[:, 0].reshape(-1, *rows.shape[1:]), parts[:, 1].reshape(-1, *rows.shape[1:])


def _by_group(rows: Array, plain: "Plain") -> tuple[Array, Array]:
    parts = rows.reshape(plain.n_key_heads, -1, plain.head_dim, *rows.shape[1:])
    return parts[:, :-2].reshape(-1, *rows.shape[1:]), parts[:, -2].reshape(-1, *rows.shape[1:])


def _by_core(rows: Array, _: "Plain") -> tuple[Array, Array]:
    query, _value, key = np.split(rows.reshape(4, -1, *rows.shape[1:]), 3, axis=1)
    return query.reshape(-1, *rows.shape[1:]), key.reshape(-1, *rows.shape[1:])


_FUSED = "self_attention.query_key_value"
_BLOOM = Layout(
    "transformer.h",
    "transformer.ln_f",
    "input_layernorm",
    (_FUSED,),
    "mlp.dense_4h_to_h",
    _by_head,
)
_GPTJ = Layout(
    "transformer.h",
    "transformer.ln_f",
    "ln_1",
    ("attn.q_proj", "attn.k_proj"),
    "mlp.fc_out",
    _one_below_the_other,
)
_SEPARATE = ("self_attn.q_proj", "self_attn.k_proj")
LAYOUTS = {
    "bloom": _BLOOM,
    "codegen": _GPTJ._replace(projections=("attn.qkv_proj",), query_key=_by_core),
    "falcon": _BLOOM._replace(query_key=_by_group),
    "gpt2": _GPTJ._replace(projections=("attn.c_attn",), writes="mlp.c_proj", conv1d=True),
    "gpt_neox": _BLOOM._replace(
        layers="gpt_neox.layers",
        final="gpt_neox.final_layer_norm",
        projections=("attention.query_key_value",),
    ),
    "gptj": _GPTJ,
    "opt": Layout(
        "model.decoder.layers",
        "model.decoder.final_layer_norm",
        "self_attn_layer_norm",
        _SEPARATE,
        "fc2",
        _one_below_the_other,
    ),
    "phi": Layout(
        "model.layers",
        "model.final_layernorm",
        "input_layernorm",
        _SEPARATE,
        "mlp.fc2",
        _one_below_the_other,
    ),
    "starcoder2": Layout(
        "model.layers",
        "model.norm",
        "input_layernorm",
        _SEPARATE,
        "mlp.c_proj",
        _one_below_the_other,
    ),
}


class Plain:
    """A checkpoint, loaded whole by transformers, and the start token run through it."""

    def __init__(self, folder: Path, token_id: int) -> None:
        config = json.loads((folder / "config.json").read_text())
        model_class = getattr(transformers, config["architectures"][0])
        self.model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
        self.model_type = config["model_type"]
        self.config = self.model.config.get_text_config()
        decoder = self.model.model
        self.decoder = getattr(decoder, "language_model", decoder)
        self.n_heads = self.config.num_attention_heads
        self.n_key_heads = self.config.num_key_value_heads
        self.head_dim = getattr(self.config, "head_dim", None) or (
            self.config.hidden_size // self.n_heads
        )
        self.projected = self._projected_keys(token_id)

    @staticmethod
    def of(folder: Path, token_id: int) -> "Plain":
        """The oracle for the checkpoint's kind of model."""
        config = json.loads((folder / "config.json").read_text())
        kind = PlainWithoutGate if config["model_type"] in LAYOUTS else Plain
        return kind(folder, token_id)

    def _projected_keys(self, token_id: int) -> list[Array]:
        seen: dict[int, Array] = {}

        def watch(layer: int) -> Callable[..., None]:
            # Copied at once: OLMo clamps what its projection returned in place.
            return lambda _m, _i, out: seen.update({layer: out[0].clone().double().numpy().ravel()})

        for layer, block in enumerate(self.decoder.layers):
            attention = block.self_attn
            for name in ("k_norm", "k_proj", "qkv_proj"):
                if hasattr(attention, name):
                    getattr(attention, name).register_forward_hook(watch(layer))
                    break
        with torch.no_grad():
            self.model(input_ids=torch.tensor([[token_id]]))
        first = self.n_heads * self.head_dim if self.model_type == "phi3" else 0
        stop = first + self.n_key_heads * self.head_dim
        return [seen[layer][first:stop] for layer in range(len(self.decoder.layers))]

    def keys(self, layer: int) -> Array:
        """[n_key_heads, head_dim]: what queries are compared with, before rotation."""
        keys = self.projected[layer]
        clip = getattr(self.config, "clip_qkv", None)
        if clip is not None:
            keys = np.clip(keys, -clip, clip)
        keys = keys.reshape(self.n_key_heads, self.head_dim)
        return keys

    def gain(self, norm: torch.nn.Module) -> Array:
        """What the norm multiplies with."""
        weight = array(norm.get_parameter("weight"))
        return weight + 1 if self.model_type.startswith("gemma") else weight

    def directions(self, layer: int, kind: WeightKind) -> Array:
        """[n_heads, d_model]: W_Q^h (g_q * k_BOS) of each head."""
        block = self.decoder.layers[layer]
        attention = block.self_attn
        fused = hasattr(attention, "qkv_proj")
        W_Q = array((attention.qkv_proj if fused else attention.q_proj).weight)
        W_Q = W_Q[: self.n_heads * self.head_dim]  # [n_heads head_dim, d_model]
        if kind != "raw" and self.model_type == "olmo":
            W_Q = W_Q - W_Q.mean(axis=1, keepdims=True)
        elif kind != "raw" and self.model_type not in _NO_INPUT_NORM:
            W_Q = W_Q * self.gain(block.input_layernorm)
        g_q = np.ones(self.n_heads * self.head_dim)
        if hasattr(attention, "q_norm"):
            g_q = np.resize(self.gain(attention.q_norm), g_q.shape)
        directions = []
        for head in range(self.n_heads):
            rows = slice(head * self.head_dim, (head + 1) * self.head_dim)
            key = self.keys(layer)[head // (self.n_heads // self.n_key_heads)]
            directions.append(W_Q[rows].T @ (g_q[rows] * key))
        return np.stack(directions)

    def w_out(self, layer: int, kind: WeightKind) -> Array:
        """[d_mlp, d_model]."""
        block = self.decoder.layers[layer]
        w_out = _down(block.mlp)
        if kind != "raw" and self.model_type == "olmo":
            w_out = w_out - w_out.mean(axis=1, keepdims=True)
        if kind == "effective" and self.model_type in _POST_NORM:
            w_out = w_out * self.gain(block.post_feedforward_layernorm)
        return w_out

    def cosines(self, layer: int, head_layer: int, kind: WeightKind) -> Array:
        """[d_mlp, n_heads]."""
        cosines: Array = unit(self.w_out(layer, kind)) @ unit(self.directions(head_layer, kind)).T
        return cosines

    def shares(self, layer: int, kind: WeightKind) -> Array:
        """[d_mlp]: share of w_out in W_U's null space, by a singular value decomposition."""
        W_U = array(self.model.get_output_embeddings().weight).T  # [d_model, d_vocab]
        if kind != "raw":
            if self.model_type == "olmo":
                W_U = W_U - W_U.mean(axis=0, keepdims=True)
            else:
                W_U = W_U * self.gain(self.decoder.norm)[:, None]
            W_U = W_U - W_U.mean(axis=1, keepdims=True)
        left = np.linalg.svd(W_U)[0]
        last = left[:, -int(np.ceil(40 * len(W_U) / 4096)) :]
        shares: Array = np.linalg.norm(unit(self.w_out(layer, kind)) @ last, axis=1)
        return shares


def _down(mlp: torch.nn.Module) -> Array:
    """[d_mlp, d_model]: what an MLP writes; of experts one after another, a shared one last."""
    experts = getattr(mlp, "experts", None)
    if experts is None:
        return array(mlp.get_submodule("down_proj").get_parameter("weight")).T
    rows = [weight.T for weight in array(experts.down_proj)]
    if hasattr(mlp, "shared_expert"):
        rows.append(array(mlp.get_submodule("shared_expert.down_proj").get_parameter("weight")).T)
    return np.concatenate(rows)


class PlainWithoutGate(Plain):
    """The same of the models in `LAYOUTS`: all norms are LayerNorms with a gain."""

    def __init__(self, folder: Path, token_id: int) -> None:
        config = json.loads((folder / "config.json").read_text())
        model_class = getattr(transformers, config["architectures"][0])
        self.model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
        self.layout = LAYOUTS[config["model_type"]]
        self.config = self.model.config
        self.n_heads = self.config.num_attention_heads
        self.n_key_heads = getattr(self.config, "num_key_value_heads", self.n_heads)
        if config["model_type"] == "falcon":
            grouped = self.config.new_decoder_architecture
            shared = self.config.multi_query and not grouped
            self.n_key_heads = (
                1 if shared else self.config.num_kv_heads if grouped else self.n_heads
            )
        self.head_dim = self.config.hidden_size // self.n_heads
        self.blocks = self.model.get_submodule(self.layout.layers)
        self.projected = self._projected_keys(token_id)

    def _projected_keys(self, token_id: int) -> list[Array]:
        seen: dict[torch.nn.Module, Array] = {}

        def watch(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
            seen[module] = out.clone().double().numpy().ravel()

        modules = [
            [block.get_submodule(path) for path in self.layout.projections] for block in self.blocks
        ]
        for module in [each for of_layer in modules for each in of_layer]:
            module.register_forward_hook(watch)
        with torch.no_grad():
            self.model(input_ids=torch.tensor([[token_id]]))
        rows = [np.concatenate([seen[each] for each in of_layer]) for of_layer in modules]
        return [self.layout.query_key(each, self)[1] for each in rows]

    def matrix(self, layer: int, path: str) -> Array:
        """[out, in]."""
        weight = array(self.blocks[layer].get_submodule(path).weight)
        return weight.T if self.layout.conv1d else weight

    def directions(self, layer: int, kind: WeightKind) -> Array:
        rows = [self.matrix(layer, path) for path in self.layout.projections]
        W_Q = self.layout.query_key(np.concatenate(rows), self)[0]
        if kind != "raw":
            block = self.blocks[layer]
            norm = "ln_attn" if hasattr(block, "ln_attn") else self.layout.input_norm
            W_Q = W_Q * array(block.get_submodule(norm).weight)
            W_Q = W_Q - W_Q.mean(axis=1, keepdims=True)
        by_head = W_Q.reshape(self.n_heads, self.head_dim, -1)
        keys = self.keys(layer).repeat(self.n_heads // self.n_key_heads, axis=0)
        directions: Array = np.einsum("hd,hdm->hm", keys, by_head)
        return directions

    def w_out(self, layer: int, kind: WeightKind) -> Array:
        w_out = self.matrix(layer, self.layout.writes).T
        return w_out if kind == "raw" else w_out - w_out.mean(axis=1, keepdims=True)

    def shares(self, layer: int, kind: WeightKind) -> Array:
        W_U = array(self.model.get_output_embeddings().weight).T
        if kind != "raw":
            W_U = W_U * array(self.model.get_submodule(self.layout.final).weight)[:, None]
            W_U = W_U - W_U.mean(axis=0, keepdims=True)
            W_U = W_U - W_U.mean(axis=1, keepdims=True)
        left = np.linalg.svd(W_U)[0]
        last = left[:, -int(np.ceil(40 * len(W_U) / 4096)) :]
        shares: Array = np.linalg.norm(unit(self.w_out(layer, kind)) @ last, axis=1)
        return shares


def roles(
    neurons: list[dict[str, Any]],
    scores: Iterable[dict[str, Any]],
    p: RoleRule,
    *,
    gated: bool = True,
) -> dict[tuple[int, int], str]:
    """The role of each (layer, neuron), neuron by neuron."""
    neurons = sorted(neurons, key=lambda n: (n["layer"], n["neuron"]))
    varied = [n for n in neurons if n["vocab_variance"] is not None]
    varied.sort(key=lambda n: -n["vocab_variance"])
    partition = varied[: (p.partition * len(neurons) + 352255) // 352256]
    kurtoses = [n["vocab_kurtosis"] for n in partition if n["vocab_kurtosis"] is not None]
    others = [n for n in neurons if not any(n is each for each in partition)]
    peaked = [n for n in others if n["vocab_kurtosis"] is not None]
    peaked.sort(key=lambda n: -n["vocab_kurtosis"])
    if p.kurtosis is None:
        peaked = peaked[: (p.moments * len(neurons) + 352255) // 352256]
        writers = [n for n in peaked if n["vocab_kurtosis"] > p.min_kurtosis]
    else:
        cutoff = max(kurtoses, default=None) if p.kurtosis == "partition" else float(p.kurtosis)
        writers = [n for n in peaked if cutoff is not None and n["vocab_kurtosis"] > cutoff]
    last = [n for n in neurons if n["layer"] == neurons[-1]["layer"]]
    last = [n for n in last if n["null_space_share"] is not None]
    entropy: list[dict[str, Any]] = []
    if last:
        q1, q3 = np.percentile([n["null_space_share"] for n in last], [25, 75])
        last.sort(key=lambda n: -n["null_space_share"])
        bound = q3 + p.iqr_factor * (q3 - q1)
        entropy = [n for n in last[: p.n_entropy] if n["null_space_share"] > bound]
    strongest: dict[tuple[int, int], float] = {}
    for score in sorted(scores, key=lambda s: (-abs(s["cosine"]), s["head_layer"], s["head"])):
        if score["head_layer"] <= score["layer"] + p.layers_ahead:
            strongest.setdefault((score["layer"], score["neuron"]), score["cosine"])

    def role(n: dict[str, Any]) -> str:
        sign = (n["cos_gate_in"] or 0.0) if gated else 1.0
        attention = strongest.get((n["layer"], n["neuron"]), 0.0)
        if any(n is each for each in partition):
            return "partition"
        if any(n is each for each in writers):
            side = np.sign(sign) * np.sign(n["vocab_skew"] or 0.0)
            if side:
                return "prediction" if side > 0 else "suppression"
        if any(n is each for each in entropy):
            return "entropy"
        if abs(attention) > p.attention_cutoff and sign:
            return f"attention {'deactivation' if sign * attention > 0 else 'activation'}"
        return "other"

    return {(n["layer"], n["neuron"]): role(n) for n in neurons}


def array(weight: torch.Tensor) -> Array:
    """A tensor as float64."""
    values: Array = weight.detach().double().numpy()
    return values


def unit(vectors: Array) -> Array:
    """The rows at length one."""
    of_length_one: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return of_length_one
