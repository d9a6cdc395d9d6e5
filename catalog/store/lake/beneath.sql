-- What the named query `similar_neurons` reads beneath the views, put together from a lake's files.
create view model as select model as alias, model as model_id, model as vocabulary_id from models;

create view current_rows as
select 'top_token' as bulk_table, model as model_id, model as run_id from models;

create view token as select model as vocabulary_id, token_id, token from tokens;

create view direction as
select
    row_number() over (order by vector, basis, sign) as direction, vector, basis, sign
from (select unnest(['gate', 'in', 'out']) as vector)
cross join (select unnest(['embed', 'unembed']) as basis)
cross join (select unnest(['+', '-']) as sign);

create view top_token as
select model as run_id, layer, neuron, direction, rank, token_id, score
from top_tokens join direction using (vector, basis, sign);
