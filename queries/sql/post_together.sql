-- Posts of two neurons at the sampled positions of a corpus that both models read as the same tokens.
select
    count(*) as n_samples,
    avg(a.post) as mean_first,
    avg(b.post) as mean_second,
    corr(a.post, b.post) as correlation
from activation_samples a
join activation_samples b using (context_id, position)
join corpora ca on ca.model = a.model and ca.corpus = a.corpus
join corpora cb on cb.model = b.model and cb.corpus = b.corpus and cb.digest = ca.digest
where a.model = $first_model and a.layer = $first_layer and a.neuron = $first_neuron
    and b.model = $second_model and b.layer = $second_layer and b.neuron = $second_neuron
    and a.corpus = $first_corpus and b.corpus = $second_corpus
    and a.post is not null and b.post is not null
