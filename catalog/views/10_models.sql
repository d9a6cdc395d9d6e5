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
    chance_95,
    chance_999,
    ingested_at
from model;

comment on view models is 'One row per catalog entry: a checkpoint read with one kind of weights.';
comment on column models.model is 'short alias, unique in the catalog';
comment on column models.source is 'Hub id, folder, or demo';
comment on column models.revision is 'commit of the Hub repository; NULL for a folder';
comment on column models.family is 'model family whose layout was read';
comment on column models.activation_fn is 'activation function of the gate, as the checkpoint names it';
comment on column models.n_layers is 'number of layers';
comment on column models.d_model is 'width of the residual stream';
comment on column models.d_mlp is 'neurons per layer';
comment on column models.d_vocab is 'columns of W_U, padding included';
comment on column models.gated is 'whether the MLP has a gate (always true today)';
comment on column models.weights is 'folded, effective or raw';
comment on column models.chance_95 is '|cosine| that random vectors of length d_model exceed with probability 0.05';
comment on column models.chance_999 is '|cosine| that random vectors of length d_model exceed with probability 0.001';
comment on column models.ingested_at is 'when the entry was made, UTC';
