"""StarCoder 2: no gate; GPT-2's names for the MLP, but matrices stored [out, in]."""

from catalog.ingest.families.family import Family
from catalog.ingest.families.mlp import Mlp

STARCODER2 = Family(
    name="StarCoder 2",
    model_types=("starcoder2",),
    mlp=Mlp({"in": "layers.{layer}.mlp.c_fc"}, "layers.{layer}.mlp.c_proj"),
    norm_kind="layer",
    epsilon_key="norm_epsilon",
    defaults={"hidden_act": "gelu_pytorch_tanh", "num_key_value_heads": 2},
)
