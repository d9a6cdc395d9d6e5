-- Neurons of an entry by IO class, the largest class first.
select io_class, count(*) as neurons
from neurons
where model = $1
group by io_class
order by neurons desc, io_class
