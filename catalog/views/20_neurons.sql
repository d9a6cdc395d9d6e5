create or replace view neurons as
select
    m.alias as model,
    n.layer,
    n.neuron,
    n.layer || '.' || n.neuron as neuron_id,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out,
    n.cos_gate_in < 0 as flipped,
    n.norm_gate,
    n.norm_in,
    n.norm_out,
    io_class_at(n.cos_gate_out, n.cos_in_out, 0.5) as io_class,
    atypical_at(n.cos_gate_in, n.cos_gate_out, n.cos_in_out, 0.5) as atypical,
    n.vocab_variance,
    n.vocab_skew,
    n.vocab_kurtosis,
    n.null_space_share,
    n.functional_role
from neuron n
join current_rows c on c.run_id = n.run_id and c.bulk_table = 'neuron'
join model m on m.model_id = c.model_id;

comment on view neurons is 'One row per MLP neuron: weight geometry, IO class, vocabulary moments and functional role.';
comment on column neurons.model is 'alias of the entry';
comment on column neurons.layer is 'layer, from 0';
comment on column neurons.neuron is 'neuron within the layer, from 0';
comment on column neurons.neuron_id is 'layer.neuron, for reading; look up by (model, layer, neuron)';
comment on column neurons.cos_gate_in is 'cos(w_gate, w_in); NULL if either vector is zero or not finite';
comment on column neurons.cos_gate_out is 'cos(w_gate, w_out)';
comment on column neurons.cos_in_out is 'cos(w_in, w_out)';
comment on column neurons.flipped is 'cos_gate_in < 0: the canonical reading negates w_in and w_out';
comment on column neurons.norm_gate is 'Euclidean norm of w_gate';
comment on column neurons.norm_in is 'Euclidean norm of w_in';
comment on column neurons.norm_out is 'Euclidean norm of w_out';
comment on column neurons.io_class is 'IO class at threshold 0.5 (paper, section 3)';
comment on column neurons.atypical is 'the sign of cos_gate_in does not follow from the other two cosines';
comment on column neurons.vocab_variance is 'variance of cos(w_out, W_U[:,t]) over the vocabulary';
comment on column neurons.vocab_skew is 'skewness of the same distribution';
comment on column neurons.vocab_kurtosis is 'excess kurtosis of the same distribution';
comment on column neurons.null_space_share is 'share of the norm of w_out in the effective null space of W_U';
comment on column neurons.functional_role is 'role by the default rules (paper, appendix F); NULL until the roles stage ran';
