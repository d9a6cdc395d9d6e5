create or replace view neurons as
select
    m.alias as model,
    n.layer,
    n.neuron,
    n.layer || '.' || n.neuron as neuron_id,
    case
        when m.n_experts is not null and not list_contains(m.dense_layers, n.layer)
            then least(n.neuron // m.d_expert, m.n_experts)
    end as expert,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out,
    n.cos_gate_in < 0 as flipped,
    n.norm_gate,
    n.norm_in,
    n.norm_out,
    io_class_at(m.gated, n.cos_gate_out, n.cos_in_out, 0.5) as io_class,
    atypical_at(n.cos_gate_in, n.cos_gate_out, n.cos_in_out, 0.5) as atypical,
    n.vocab_variance,
    n.vocab_skew,
    n.vocab_kurtosis,
    n.null_space_share,
    n.functional_role
from neuron n
join current_rows c on c.run_id = n.run_id and c.bulk_table = 'neuron'
join model m on m.model_id = c.model_id;
