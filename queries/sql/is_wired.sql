-- Whether a model has wires or twins: without any, nobody looks for those of a neuron.
select
    exists (select 1 from wires where model = $model) or exists (select 1 from twins where model = $model)
        as is_wired
