-- Neurons of a model by layer and functional role.
select layer, functional_role, count(*) as neurons
from neurons
where model = $model and functional_role is not null
group by layer, functional_role
order by layer, functional_role
