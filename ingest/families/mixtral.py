"""Mixtral: Mistral with experts in every layer."""

from catalog.ingest.families.experts import Experts, of_all, of_each, of_kinds
from catalog.ingest.families.family import Family

MIXTRAL = Family(
    name="Mixtral",
    model_types=("mixtral",),
    gguf_architectures=("llama",),
    gguf_permuted=True,
    experts=Experts(
        layouts=(
            of_each("layers.{layer}.block_sparse_moe", ("w1", "w3", "w2")),
            of_all(),
            of_kinds(),
        ),
        routers=("layers.{layer}.mlp.gate", "layers.{layer}.block_sparse_moe.gate"),
        n_key="num_local_experts",
        width_key="intermediate_size",
    ),
    config_names={"num_local_experts": ("num_experts",)},
)
