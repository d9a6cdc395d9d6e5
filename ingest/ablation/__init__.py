"""What neurons cause: their post replaced in every forward pass, compared with the clean pass.

`subsets` resolves the neurons asked for, `baselines` draws others to compare with, `arms` puts both
into passes, `intervening` replaces post, `readout` makes metrics of what the model puts out,
`effects` is the state that merges, `results` makes rows of it.
"""
