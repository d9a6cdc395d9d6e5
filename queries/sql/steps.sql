-- The entries of training series, in the order of their steps.
select series, step, model
from models
where series is not null
order by series, step, model
