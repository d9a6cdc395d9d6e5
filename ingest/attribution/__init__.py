"""Attribution: to first order, what each neuron's own zero ablation would do to the loss."""
