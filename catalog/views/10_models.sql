create or replace view models as
select
    alias as model,
    source,
    revision,
    family,
    activation_fn,
    n_layers,
    d_model,
    d_mlp,
    d_vocab,
    gated,
    weights,
    quantization,
    n_experts,
    d_expert,
    d_shared,
    d_dense,
    dense_layers,
    wire_floor,
    chance_95,
    chance_999,
    ingested_at
from model;
