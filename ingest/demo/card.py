"""The card of a demo model, written from what was measured."""

from dataclasses import dataclass

TEMPLATE = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# {title}

{about}

| | |
|---|---|
| architecture | {architecture} |
| shape | {layers} layers, d_model {d_model}, d_mlp {d_mlp}, {heads} heads, {length} positions |
| parameters | {parameters:,}, stored in float16 |
| tokenizer | byte-level BPE of {vocab:,} pieces; `<|start|>` begins every text |

## Training

The corpus, `corpus.jsonl.gz` beside this folder, is the text that CPython 3.11 carries: its
language reference (`pydoc_data.topics`) and the docstrings of its standard library under the
signatures that they document. {held_out} documents, chosen by a hash of their ids (about 3%), were
held out, and each longer paragraph that they share with another document was left out of training;
the tokenizer did not see them either. The model also read the source of the library, without its
docstrings, as it is in CPython {python}.

| | tokens |
|---|---|
| corpus, training part | {corpus_tokens:,} |
| library source | {source_tokens:,} |
| tokens seen in training | {tokens_seen:,} |

Muon for the attention's matrices, Adam with one second moment a neuron for those of the MLPs,
AdamW for all else (betas 0.9, 0.99); weight decay {weight_decay} in attention, {mlp_decay} in the
MLPs, {embedding_decay} of embeddings; weights drawn with standard deviation {initializer_range},
those of the MLPs {mlp_initializer_range}; learning rate rising for {warmup} steps to {lr}, in the
last {decay_share:.0%} of the steps falling on a line to zero, for the MLPs moreover divided by
1 + step / {mlp_halved_at}; {steps} steps of {batch} x {length} tokens; gradients clipped at norm 1;
float32 weights, bfloat16 arithmetic; seed {seed}. An epoch is every training document and
{source_share:.0%} of the library's source files, drawn anew each time.

| loss of the file as shipped, nats a token | |
|---|---|
| training documents (one in 20) | {train_loss:.4f} |
| held-out documents | {held_out_loss:.4f} |

Both were measured by loading this folder's float16 weights again, computing in float32, on contexts
of {length} tokens that each begin with `<|start|>`. The command, with torch {torch} on the CPU:

    python -m catalog.ingest.demo.train{options} --steps {steps} --threads {threads}

Another processor or another number of threads rounds differently, and gives a model of the same
quality, not the same numbers.

{tried}

## NOTICE

The weights, the tokenizer and this card: Apache License 2.0.

The text that the model learned, and that `corpus.jsonl.gz` holds, is taken from CPython: Copyright
(c) 2001-2023 Python Software Foundation; All Rights Reserved. It is used under the Python Software
Foundation License Version 2, https://docs.python.org/3.11/license.html. The corpus selects and
re-indents that text (build_corpus.py), and changes nothing else.
"""

TRIED = """\
## What was tried

By an earlier recipe (AdamW for the MLPs, weights drawn with 0.02, weight decay 0.2) 99.8% of the
neurons were `orthogonal output`. Held-out loss / share of the other classes, at the step named;
"ever less": this recipe, whose MLPs have an ever smaller part of the learning rate.

| d_model | MLPs moved by | their decay | drawn with | lr | at step: loss / share |
|---|---|---|---|---|---|
| 128 | AdamW | 0.2 | 0.02 | 3e-3 | 2080: 4.05 / 0.2% |
| 64 | AdamW | 0.5 | 0.02 | 1e-2 | 300: 5.67 / 10.4%, 600: 5.33 / 2.2%, 900: 4.84 / 0.9% |
| 64, AdamW in attention too | AdamW | 0.3 | 0.02 | 1e-2 | 250: 5.76 / 6.1%, 500: 5.27 / 7.7% |
| 64, tied embeddings | AdamW | 0.3 | 0.02 | 1e-2 | 250: 5.71 / 4.2%, 500: 5.33 / 3.4% |
| 64 | Adam by neuron | 0.3 | 0.02 | 1e-2 | 250: 5.77 / 10.4%, 500: 5.24 / 10.0% |
| 64 | Adam by neuron | 0.4 | 0.02 | 6e-3 | 200: 5.72 / 6.7%, 600: 5.10 / 4.2%, 1000: 4.75 / 1.6% |
| 64, all drawn so | Adam by neuron | 0.05 | 0.002 | 6e-3 | 200: 5.85 / 21.4%, 400: 5.73 / 14.0% |
| 64 | Adam by neuron | 0.05 | 0.002 | 6e-3 | 300: 5.64 / 18.9%, 600: 5.29 / 13.3% |
| 128 | Adam by neuron | 0.05 | 0.002 | 5e-3 | 150: 6.04 / 19.4%; another run 1000: 4.76 / 0.8% |
| 128 | ever less | 0.05 | 0.002 | 5e-3 | 300: 5.63 / 10.8%, 600: 5.06 / 6.8%, 1000: 4.67 / 6.5% |

Classes are there early, and go as the loss falls: it seems that few directions of the stream are in
use at first, and that noise in the vectors hides later what they share.
Steps that keep a gradient's direction, small first weights, little decay and late steps that are
small keep some of them. The earlier model had read twice as much and predicts better: 4.05 against
4.67. Tied embeddings and more decay did not help."""


@dataclass(frozen=True)
class Kind:
    """What the card says of a model with a gate or without one."""

    title: str
    about: str
    architecture: str
    options: str
    tried: str


GATED = Kind(
    title="The demo model of neuron-catalog",
    about="""\
A small gated transformer, really trained, so that `catalog ingest demo` has neurons to read on any
machine, offline, in about a minute. It writes something like Python documentation; it is made to
be looked into, not to be used. Its twin without a gate lies in `../plain`.""",
    architecture="`LlamaForCausalLM`: SwiGLU, RMSNorm, rotary positions, untied embeddings",
    options="",
    tried=TRIED,
)

PLAIN = Kind(
    title="The plain twin of the demo model of neuron-catalog",
    about="""\
The demo model once more without a gate: the same texts in the same order, the same tokenizer,
attention and number of weights in its MLPs, trained by the same recipe. `catalog ingest demo
demo-plain` puts both into one catalog, so that gated and plain neurons are seen side by side.""",
    architecture="`Starcoder2ForCausalLM`: tanh-GELU, LayerNorm, rotary positions, no biases in "
    "matrices, untied embeddings",
    options=" --plain",
    tried="What was tried before the recipe was chosen: see the card in `../model`.",
)


@dataclass(frozen=True)
class Facts:
    """What the card tells, beside the recipe."""

    parameters: int
    held_out: int  # documents
    corpus_tokens: int
    source_tokens: int
    tokens_seen: int
    train_loss: float
    held_out_loss: float
    length: int
    threads: int
    python: str
    torch: str


def model_card(recipe: dict[str, object], facts: Facts) -> str:
    """Fill in the card; `recipe` holds the fields of the training recipe by name."""
    kind = GATED if recipe["gated"] else PLAIN
    return TEMPLATE.format(**recipe, **vars(kind), **vars(facts))
