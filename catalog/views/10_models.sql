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
    wire_floor,
    chance_95,
    chance_999,
    ingested_at
from model;
