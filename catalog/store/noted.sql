-- What stages noted of the rows that they loaded, with the new number of the run that shows them.
select
    p.alias,
    p.held_in,
    f.stage,
    n.key as bulk_table,
    i.new as run_id,
    (n.value ->> 'n_rows')::bigint as n_rows,
    n.value ->> 'digest' as digest,
    (n.value -> 'columns')::text[] as columns
from giving p
join finished f
    on f.held_in = p.held_in and f.model_id = p.model_id
    and f.corpus_id is not distinct from p.corpus_id
    and (p.stage is null or f.stage = p.stage)
    and f.subject is not distinct from p.subject
join json_each(f.noted) n on true
join held_current_rows s
    on s.held_in = p.held_in and s.model_id = p.model_id
    and s.corpus_id is not distinct from p.corpus_id and s.bulk_table = n.key
    and (f.subject is null or s.run_id = f.run_id)
join ids i on i.owner = 'run' and i.held_in = s.held_in and i.old = s.run_id
order by p.alias, p.corpus nulls first, f.run_id, n.key
