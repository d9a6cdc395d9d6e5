"""What must be known of a model family to read its neurons: names, norms and heads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.families.experts import Experts
from catalog.ingest.families.mlp import Mlp

NormKind = Literal["rms", "layer"]
Gain = Literal["weight", "one_plus_weight", "one"]
_MOST = 2**31


@dataclass(frozen=True)
class Attention:
    """Modules of attention, for the functional roles (docs/definitions.md).

    Equal `query` and `key` mean one fused matrix. Its rows come in `groups`, each of them queries,
    then keys and values; None: a group for each key head. A query or key norm is over one head
    (`per_head`, one gain for all heads) or over all heads at once. A bias is the tensor
    `<module>.bias`, where the checkpoint has it.
    """

    query: str = "layers.{layer}.self_attn.q_proj"
    key: str = "layers.{layer}.self_attn.k_proj"
    input_norm: str | None = "layers.{layer}.input_layernorm"
    query_norm: str | None = None
    key_norm: str | None = None
    norm_per_head: bool = True
    groups: int | None = 1

    @property
    def fused(self) -> bool:
        """Whether queries, keys and values are rows of one matrix."""
        return self.query == self.key


@dataclass(frozen=True)
class Family:
    """One family. Modules are named inside the decoder; `prefix` is where the decoder lies.

    `experts` says what stands in place of `mlp` in sparse layers. `mlp_norm` is the norm whose
    output the MLP reads, `post_mlp_norm` the one over its output;
    None where there is none. `epsilon_key` names the norms' epsilon in config.json, `epsilon` is it
    where config.json does not. `raw_only` says why norms cannot be folded, where they cannot.
    `transposed`: the matrices of a layer are stored [in, out] (GPT-2's Conv1D). `project_in` and
    `project_out` stand between the stream and an embedding and unembedding of another width.
    `rotary` is the module that makes rotary angles, where a module of its own does; `decoder` where
    transformers' model keeps the text decoder, if it has more. `gguf_architectures` are the names
    in GGUF files, `gguf_permuted` says that the rows of queries and keys are permuted there.
    `config_names` are other keys of config.json by the usual one, `adapted` changes what depends on
    the values of a checkpoint's config.json.
    """

    name: str
    model_types: tuple[str, ...]
    mlp: Mlp = field(default_factory=Mlp)
    experts: Experts | None = None
    attention: Attention | None = field(default_factory=Attention)
    mlp_norm: str | None = "layers.{layer}.post_attention_layernorm"
    post_mlp_norm: str | None = None
    final_norm: str | None = "norm"
    norm_kind: NormKind = "rms"
    gain: Gain = "weight"
    epsilon_key: str = "rms_norm_eps"
    epsilon: float = 1e-5
    raw_only: str | None = None
    transposed: bool = False
    embedding: str = "embed_tokens"
    unembedding: tuple[str, ...] = ("lm_head",)
    project_in: str | None = None
    project_out: str | None = None
    prefixes: tuple[str, ...] = ("model.", "")
    prefix: str = "model."
    text_key: str | None = None
    rotary: str | None = "rotary_emb"
    decoder: str = ""
    gguf_architectures: tuple[str, ...] = ()
    gguf_permuted: bool = False
    activation_keys: tuple[str, ...] = ("hidden_act",)
    activation_aliases: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    config_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    adapted: "Callable[[Family, Mapping[str, Any]], Family] | None" = None

    def located(self, checkpoint: Checkpoint) -> "Family":
        """This family as `checkpoint` has it: its config, and the prefix of its decoder.

        Raises CheckpointError when no prefix fits.
        """
        family = self if self.adapted is None else self.adapted(self, checkpoint.config)
        sparse = family.sparse_layers(checkpoint.config)
        if family.experts is None or not sparse:
            probes: list[tuple[str, Experts | None]] = [
                (family.mlp.tensor(family.mlp.writes, layer=0), None)
            ]
        else:
            probes = [*family.experts.probes(sparse[0])]
        for prefix in self.prefixes:
            for name, experts in probes:
                if prefix + name in checkpoint:
                    return replace(family, prefix=prefix, experts=experts)
        raise CheckpointError(
            f"{checkpoint.source} has no tensor named {self.prefixes[0]}{probes[0][0]}, which "
            f"every {self.name} checkpoint has."
        )

    def weight(self, module: str, layer: int | None = None) -> str:
        """Full name of a module's weight tensor."""
        return self.prefix + module.format(layer=layer) + ".weight"

    def bias(self, module: str, layer: int | None = None) -> str:
        """Full name of a module's bias tensor, which a checkpoint may or may not have."""
        return self.prefix + module.format(layer=layer) + ".bias"

    def embedding_name(self, checkpoint: Checkpoint) -> str:
        """The tensor that embeds tokens; the unembedding's where tied weights are stored once.

        Raises CheckpointError for untied weights without an embedding.
        """
        return self._either(checkpoint, self._embeddings(), self._unembeddings())

    def unembedding_name(self, checkpoint: Checkpoint) -> str:
        """The tensor that unembeds; the embedding's where tied weights are stored once.

        Raises CheckpointError for untied weights without an unembedding.
        """
        return self._either(checkpoint, self._unembeddings(), self._embeddings())

    def setting(self, config: Mapping[str, Any], key: str, default: Any = None) -> Any:
        """A value of the text model's config, with the family's default where it is left out."""
        text = config.get(self.text_key) or {} if self.text_key else config
        for name in (key, *self.config_names.get(key, ())):
            for stated in (text.get(name), config.get(name)):
                if stated is not None:
                    return stated
        return self.defaults.get(key, default)

    def activation_fn(self, config: Mapping[str, Any]) -> str:
        """Name of the MLP's activation function, as transformers runs it.

        Raises CheckpointError when config does not say.
        """
        for key in self.activation_keys:
            value = self.setting(config, key)
            if isinstance(value, str):
                return self.activation_aliases.get(value, value)
        raise CheckpointError(
            f"config.json names no activation function ({self.activation_keys[0]})."
        )

    def heads(self, config: Mapping[str, Any]) -> tuple[int, int, int]:
        """Number of query heads, of key heads, and the length of a head."""
        queries = self.whole(config, "num_attention_heads")
        keys = self.whole(config, "num_key_value_heads", queries)
        if self.setting(config, "head_dim") is None:
            return queries, keys, self.whole(config, "hidden_size") // queries
        return queries, keys, self.whole(config, "head_dim")

    def n_layers(self, config: Mapping[str, Any]) -> int:
        """Number of decoder layers."""
        return self.whole(config, "num_hidden_layers")

    def sparse_layers(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        """Layers with experts."""
        experts = self.experts
        if experts is None:
            return ()
        return tuple(at for at in range(self.n_layers(config)) if experts.is_sparse(config, at))

    def context_limit(self, config: Mapping[str, Any]) -> int | None:
        """Most tokens that the model takes, None where config does not say."""
        key = "max_position_embeddings"
        return None if self.setting(config, key) is None else self.whole(config, key)

    def _embeddings(self) -> tuple[str, ...]:
        return (self.weight(self.embedding),)

    def _unembeddings(self) -> tuple[str, ...]:
        # The unembedding stands outside the decoder, except in some architectures without a family.
        outside = [f"{module}.weight" for module in self.unembedding]
        return (*outside, *map(self.weight, self.unembedding))

    def _either(self, checkpoint: Checkpoint, own: tuple[str, ...], tied: tuple[str, ...]) -> str:
        may_be_tied = self.setting(checkpoint.config, "tie_word_embeddings", True)
        for name in own + tied if may_be_tied else own:
            if name in checkpoint:
                return name
        reason = "" if may_be_tied else ", and its config says that the embedding is not tied"
        raise CheckpointError(f"{checkpoint.source} has no tensor named {own[0]}{reason}.")

    def whole(self, config: Mapping[str, Any], key: str, default: int | None = None) -> int:
        """A positive whole number of the text model's config.

        Raises CheckpointError where it is none, or is not said.
        """
        value = self.setting(config, key, default)
        if value is None:
            raise CheckpointError(f"config.json does not say {key}.")
        if type(value) is not int or not 0 < value < _MOST:
            raise CheckpointError(
                f"config.json says {key} is {repr(value)[:60]}, which is no possible number."
            )
        return value
