-- One neuron of one model.
select * from neurons where model = $model and layer = $layer and neuron = $neuron
