-- What two entries with one alias state differently. `places`: theirs among these; entries of
-- another checkpoint than the first are compared with it alone.

create table pair as
select
    a.alias,
    [a.place, b.place] as places,
    a.held_in,
    b.held_in as other_in,
    a as one,
    b as other,
    (a.fingerprint, a.weights) != (b.fingerprint, b.weights) as of_checkpoints
from entry a
join entry b on b.alias = a.alias and b.place > a.place
join entry f on f.alias = a.alias and f.place = 1
where case
    when (b.fingerprint, b.weights) != (f.fingerprint, f.weights) then a.place = 1
    else (a.fingerprint, a.weights) = (f.fingerprint, f.weights)
end;

create table compared as
from pair
where not of_checkpoints;

create view other_checkpoints as
select alias, places, held_in, other_in, one, other
from pair
where of_checkpoints;

create view other_vocabularies as
select alias, places, held_in, other_in
from compared
where one.vocabulary != other.vocabulary;

create view other_corpora as
select p.alias, p.places, p.held_in, p.other_in, k as one, o as other
from compared p
join known k on k.held_in = p.held_in and k.model_id = p.one.model_id
join known o on o.held_in = p.other_in and o.model_id = p.other.model_id
where (k.name = o.name) != (k.digest = o.digest)
order by k.name, o.name;

create view same_stages as
select
    p.alias, p.places, p.held_in, p.other_in, f.stage, f.subject,
    k.name as corpus, l.name as other_corpus,
    f.parameters, g.parameters as other_parameters, f.noted, g.noted as other_noted
from compared p
join finished f on f.held_in = p.held_in and f.model_id = p.one.model_id
join finished g
    on g.held_in = p.other_in and g.model_id = p.other.model_id
    and g.stage = f.stage and g.corpus is not distinct from f.corpus
    and g.subject is not distinct from f.subject
left join known k
    on k.held_in = f.held_in and k.model_id = f.model_id and k.corpus_id = f.corpus_id
left join known l
    on l.held_in = g.held_in and l.model_id = g.model_id and l.corpus_id = g.corpus_id
order by f.stage, f.corpus, f.subject;

-- The second has a stage that the first lacks, though the first went through as many.
create view other_stages as
select p.alias, p.places, p.held_in, p.other_in, list(distinct g.stage order by g.stage) as stages
from compared p
join finished g
    on g.held_in = p.other_in and g.model_id = p.other.model_id
    and g.corpus_id is null and g.subject is null
where not exists (
    from finished f
    where f.held_in = p.held_in and f.model_id = p.one.model_id
        and f.corpus_id is null and f.stage = g.stage
)
group by all;
