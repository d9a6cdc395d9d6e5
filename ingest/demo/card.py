"""The demo model's card, written from what was measured."""

from dataclasses import dataclass

TEMPLATE = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# The demo model of neuron-catalog

A small gated transformer, really trained, so that `catalog ingest demo` has neurons to read on any
machine, offline, in about a minute. It writes something like Python documentation; it is made to
be looked into, not to be used.

| | |
|---|---|
| architecture | `LlamaForCausalLM`: SwiGLU, RMSNorm, rotary positions, untied embeddings |
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

Muon for the attention's matrices, AdamW (betas 0.9, 0.99) for all else; weight decay
{weight_decay}; learning rate rising for {warmup} steps to {lr}, in the last {decay_share:.0%} of
the steps falling on a line to zero; {steps} steps of {batch} x {length} tokens; gradients clipped
at norm 1; float32 weights, bfloat16 arithmetic; seed {seed}. An epoch is every training document
and {source_share:.0%} of the library's source files, drawn anew each time.

| loss of the file as shipped, nats a token | |
|---|---|
| training documents (one in 20) | {train_loss:.4f} |
| held-out documents | {held_out_loss:.4f} |

Both were measured by loading this folder's float16 weights again, computing in float32, on contexts
of {length} tokens that each begin with `<|start|>`. The command, with torch {torch} on the CPU:

    python -m catalog.ingest.demo.train --steps {steps} --threads {threads}

Another processor or another number of threads rounds differently, and gives a model of the same
quality, not the same numbers.

## NOTICE

The weights, the tokenizer and this card: Apache License 2.0.

The text that the model learned, and that `corpus.jsonl.gz` holds, is taken from CPython: Copyright
(c) 2001-2023 Python Software Foundation; All Rights Reserved. It is used under the Python Software
Foundation License Version 2, https://docs.python.org/3.11/license.html. The corpus selects and
re-indents that text (build_corpus.py), and changes nothing else.
"""


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
    return TEMPLATE.format(**recipe, **vars(facts))
