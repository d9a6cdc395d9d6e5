-- What of each catalog goes into a new one, and under which numbers. An entry of several catalogs
-- becomes one, of which each part is taken from one of them; the same in any order of the catalogs.

create table run as
select
    r.held_in,
    r.model_id,
    r.run_id,
    r.corpus_id,
    c.digest as corpus,
    r.stage,
    r.subject,
    r.status,
    r.started_at,
    r.finished_at,
    r.parameters,
    (r.notes::json) -> 'rows' as noted,
    exists (
        from held_current_rows s where s.held_in = r.held_in and s.run_id = r.run_id
    ) as is_shown
from held_ingest_run r
left join held_corpus c using (held_in, corpus_id);

-- Corpora of which an entry shows rows.
create table known as
select
    mc.held_in, mc.model_id, mc.corpus_id, mc.name,
    c.digest, c.source, c.parameters, c.n_contexts
from held_model_corpus mc
join held_corpus c using (held_in, corpus_id)
semi join held_current_rows using (held_in, model_id, corpus_id);

create table finished as
select r.*
from run r
left join known k using (held_in, model_id, corpus_id)
where r.status = 'finished' and (r.corpus_id is null or k.corpus_id is not null);

-- Of entries that agree the one that went farthest comes first, then the one made first.
create table entry as
select
    *,
    row_number() over (
        partition by alias order by n_stages desc, ingested_at, origin, n_finished, held_in
    ) as place
from (
    select
        m.held_in,
        m.model_id,
        m.alias,
        m.source || coalesce(' at revision ' || m.revision, '') as origin,
        m.fingerprint,
        m.weights,
        m.ingested_at,
        m.vocabulary_id,
        v.digest as vocabulary,
        (
            select count(*) from finished f
            where f.held_in = m.held_in and f.model_id = m.model_id
                and f.corpus_id is null and f.subject is null
        ) as n_stages,
        (
            select count(*) from finished f
            where f.held_in = m.held_in and f.model_id = m.model_id
        ) as n_finished
    from held_model m
    left join held_vocabulary v using (held_in, vocabulary_id)
    where coalesce(list_contains(getvariable('aliases')::text[], m.alias), true)
);

-- The new entries; each is stated as by the catalog that made it first.
create table united as
select alias, held_in, model_id, row_number() over (order by ingested_at, alias) as new
from (
    from entry
    qualify row_number() over (partition by alias order by ingested_at, origin, place) = 1
);

-- Which entry gives the rows about weights (no corpus): one table has the columns of all stages,
-- so the entry that went through most of them has all. And which states each corpus.
create table part as
select alias, held_in, model_id, null::integer as corpus_id, null as corpus
from entry
where place = 1
union all
(
    select e.alias, held_in, model_id, k.corpus_id, k.digest
    from entry e
    join known k using (held_in, model_id)
    left join (
        select held_in, model_id, corpus_id, max(finished_at) as finished_at
        from finished
        where subject is null
        group by all
    ) f using (held_in, model_id, corpus_id)
    qualify row_number() over (
        partition by e.alias, k.digest
        order by f.finished_at nulls last, k.source, k.parameters, e.place
    ) = 1
);

-- Which entry gives the rows of a stage on a corpus, and of each of several results (`subject`).
create table giving as
select alias, held_in, model_id, corpus_id, corpus, null as stage, null as subject
from part
where corpus_id is null
union all
(
    select e.alias, held_in, model_id, k.corpus_id, k.digest, f.stage, f.subject
    from entry e
    join known k using (held_in, model_id)
    join (
        select held_in, model_id, corpus_id, stage, subject, max(finished_at) as finished_at
        from run
        where status = 'finished' or is_shown
        group by all
    ) f using (held_in, model_id, corpus_id)
    qualify row_number() over (
        partition by e.alias, k.digest, f.stage, f.subject
        order by f.finished_at nulls last, k.source, k.parameters, e.place
    ) = 1
)
union all
(
    -- Of no corpus: descriptions, of which every catalog gives its own.
    select e.alias, held_in, model_id, null, null, r.stage, r.subject
    from entry e
    join run r using (held_in, model_id)
    where r.corpus_id is null and r.subject is not null and r.status = 'finished'
    qualify row_number() over (
        partition by e.alias, r.stage, r.subject order by r.finished_at, e.place
    ) = 1
);

create table ids as
select 'model' as owner, e.held_in, e.model_id as old, u.new, e.held_in = u.held_in as taken
from entry e
join united u using (alias)
union all
(
    with named as (
        select
            e.held_in,
            e.vocabulary_id,
            e.vocabulary,
            row_number() over (partition by e.vocabulary order by u.new, e.place) as place,
            min(u.new) over (partition by e.vocabulary) as first_new
        from entry e
        join united u using (alias)
        where e.vocabulary is not null
    )
    select distinct
        'vocabulary', n.held_in, n.vocabulary_id,
        dense_rank() over (order by n.first_new, n.vocabulary),
        n.held_in = t.held_in
    from named n
    join named t on t.vocabulary = n.vocabulary and t.place = 1
)
union all
(
    with holders as (
        select
            c.held_in,
            c.digest,
            row_number() over (partition by c.digest order by c.source, c.parameters, u.new) as place
        from part p
        join united u using (alias)
        join held_corpus c on c.held_in = p.held_in and c.corpus_id = p.corpus_id
    )
    select
        'corpus', c.held_in, c.corpus_id,
        dense_rank() over (order by c.digest),
        c.held_in = h.held_in
    from held_corpus c
    join holders h on h.digest = c.digest and h.place = 1
)
union all
select
    'run', r.held_in, r.run_id,
    row_number() over (
        order by
            u.new, r.started_at, r.stage, g.corpus nulls first, r.subject nulls first,
            r.run_id, r.held_in
    ),
    true
from run r
join giving g
    on g.held_in = r.held_in and g.model_id = r.model_id
    and g.corpus_id is not distinct from r.corpus_id
    and (g.stage is null or g.stage = r.stage)
    and g.subject is not distinct from r.subject
join united u using (alias)
where r.status in ('finished', 'superseded') or r.is_shown;

create table shown as
select held_in, bulk_table, run_id
from held_current_rows;
