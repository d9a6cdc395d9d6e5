-- The rule of DESIGN section 1 ("Functional roles"; paper, appendix F), written once: the stage
-- `roles` runs it with the defaults of queries/roles.sql, a query with any others.
--   partition_neurons  how many of 352,256 neurons are partition neurons, rounded up
--   kurtosis_above     for prediction and suppression; NULL: the highest among partition neurons
--   n_entropy          at most so many entropy neurons in the last layer,
--   iqr_factor         each with a share above Q3 + iqr_factor * (Q3 - Q1) of that layer
--   attention_cutoff   on |cosine| with a head of the next layers_ahead layers
-- The role is NULL where the moments or shares of a model were not computed.
create or replace macro functional_roles(
    partition_neurons, kurtosis_above, n_entropy, iqr_factor, attention_cutoff, layers_ahead
) as table
with
totals as (
    select
        model,
        ceil(partition_neurons * count(*) / 352256) as n_partition,
        max(layer) as last_layer,
        count(vocab_variance) > 0 and count(null_space_share) > 0 as measured
    from neurons
    group by model
),
ranked as (
    select
        n.*,
        t.measured,
        n.vocab_variance is not null and t.n_partition >= row_number() over (
            partition by model order by n.vocab_variance desc nulls last, n.layer, n.neuron
        ) as is_partition
    from neurons n
    join totals t using (model)
),
kurtosis as (
    select
        model,
        coalesce(kurtosis_above, max(vocab_kurtosis) filter (where is_partition)) as kurtosis_cutoff
    from ranked
    group by model
),
last as (
    select
        model,
        layer,
        neuron,
        null_space_share as share,
        row_number() over (
            partition by model order by null_space_share desc nulls last, neuron
        ) as share_rank,
        quantile_cont(null_space_share::double, 0.25) over (partition by model) as q1,
        quantile_cont(null_space_share::double, 0.75) over (partition by model) as q3
    from neurons
    join totals using (model)
    where layer = last_layer
),
entropy as (
    select model, layer, neuron
    from last
    where share_rank <= n_entropy and share > q3 + iqr_factor * (q3 - q1)
),
attention as (
    select
        model,
        layer,
        neuron,
        first(cosine order by abs(cosine) desc, head_layer, head) as strongest
    from attention_scores
    where abs(cosine) > attention_cutoff and head_layer <= layer + layers_ahead
    group by model, layer, neuron
)
select
    model,
    layer,
    neuron,
    case
        when not r.measured then null
        when r.is_partition then 'partition'
        when r.vocab_kurtosis > k.kurtosis_cutoff and r.cos_gate_in * r.vocab_skew > 0
            then 'prediction'
        when r.vocab_kurtosis > k.kurtosis_cutoff and r.cos_gate_in * r.vocab_skew < 0
            then 'suppression'
        when e.neuron is not null then 'entropy'
        when r.cos_gate_in * a.strongest > 0 then 'attention deactivation'
        when r.cos_gate_in * a.strongest < 0 then 'attention activation'
        else 'other'
    end as functional_role
from ranked r
join kurtosis k using (model)
left join entropy e using (model, layer, neuron)
left join attention a using (model, layer, neuron);
