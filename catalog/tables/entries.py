"""Entries, vocabularies and corpora, which entries may share."""

from dataclasses import replace
from typing import Final

from catalog.declaration import Column, Table
from catalog.tables.columns import CORPUS_ID, MODEL_ID, VOCABULARY_ID

ENTRY_TABLES: Final = (
    Table(
        "model",
        "One row per catalog entry: a checkpoint read with one kind of weights.",
        "model",
        (
            MODEL_ID,
            Column("alias", "TEXT", "short alias, unique in the catalog"),
            Column("source", "TEXT", "Hub id, folder, or demo"),
            Column(
                "revision", "TEXT", "commit of the Hub repository; NULL for a folder", nullable=True
            ),
            Column("fingerprint", "TEXT", "digest of the checkpoint's files"),
            Column("family", "TEXT", "model family whose layout was read"),
            Column(
                "activation_fn",
                "TEXT",
                "activation function of the gate (of in without one), as the checkpoint names it",
            ),
            Column("n_layers", "INTEGER", "number of layers"),
            Column("d_model", "INTEGER", "width of the residual stream"),
            Column(
                "d_mlp", "INTEGER", "neurons per layer; of the largest where layers have experts"
            ),
            Column("d_vocab", "INTEGER", "columns of W_U, padding included"),
            Column("gated", "BOOLEAN", "whether the MLP has a gate; a plain one has none"),
            Column("weights", "TEXT", "folded, effective or raw"),
            Column(
                "chance_95",
                "DOUBLE",
                "|cosine| that random vectors of length d_model exceed with probability 0.05",
            ),
            Column(
                "chance_999",
                "DOUBLE",
                "|cosine| that random vectors of length d_model exceed with probability 0.001",
            ),
            Column("ingested_at", "TIMESTAMP", "when the entry was made, UTC"),
            replace(VOCABULARY_ID, nullable=True),
            Column(
                "quantization",
                "TEXT",
                "how the checkpoint's MLP weights are quantized (Q4_1, Q4_K_M); NULL if they are "
                "not",
                nullable=True,
            ),
            Column(
                "wire_floor",
                "DOUBLE",
                "|cosine| that random vectors of length d_model exceed once in as many pairs as "
                "the entry has neurons; wires lie above it",
                nullable=True,
            ),
            Column(
                "n_experts",
                "INTEGER",
                "routed experts of a layer that has experts; NULL where no layer has",
                nullable=True,
            ),
            Column("d_expert", "INTEGER", "neurons of a routed expert", nullable=True),
            Column(
                "d_shared",
                "INTEGER",
                "neurons of the shared expert, which are numbered on from the routed ones; 0 "
                "without",
                nullable=True,
            ),
            Column(
                "d_dense",
                "INTEGER",
                "neurons of a layer without experts, in models that have experts; 0 if all have",
                nullable=True,
            ),
            Column(
                "dense_layers",
                "INTEGER[]",
                "layers without experts, in models that have experts",
                nullable=True,
            ),
            Column(
                "series",
                "TEXT",
                "training run of which it is a checkpoint; NULL where it stands alone",
                nullable=True,
            ),
            Column(
                "step", "BIGINT", "step of the training run; unique in its series", nullable=True
            ),
            Column(
                "train_tokens",
                "BIGINT",
                "tokens it had been trained on by then, where the checkpoint's name says so",
                nullable=True,
            ),
        ),
    ),
    Table(
        "vocabulary",
        "One row per vocabulary, which entries may share.",
        "vocabulary",
        (
            VOCABULARY_ID,
            Column("digest", "TEXT", "identifies the vocabulary"),
            Column("n_tokens", "INTEGER", "tokens that the tokenizer has"),
        ),
        ("vocab", "activations"),
    ),
    Table(
        "token",
        "One row per token of a vocabulary.",
        "vocabulary",
        (
            VOCABULARY_ID,
            Column("token_id", "INTEGER", "id of the token in the vocabulary"),
            Column("token", "TEXT", "vocabulary piece, its space marker as a space"),
        ),
        ("vocab", "activations"),
    ),
    Table(
        "corpus",
        "One row per corpus as tokenised, which entries may share.",
        "corpus",
        (
            CORPUS_ID,
            Column("digest", "TEXT", "identifies the corpus as tokenised"),
            Column("source", "TEXT", "where its documents came from"),
            Column("n_contexts", "INTEGER", "contexts kept, exact duplicates dropped"),
            Column("n_tokens", "BIGINT", "tokens in these contexts, start tokens included"),
            Column("context_length", "INTEGER", "longest context, in tokens"),
            Column(
                "start_token_id",
                "INTEGER",
                "token every context begins with; NULL if there is none",
                nullable=True,
            ),
            Column("special_tokens", "TEXT", "excluded from or counted in statistics and rankings"),
            Column("parameters", "TEXT", "how its documents were read and cut, as JSON"),
        ),
        ("activations",),
    ),
    Table(
        "context",
        "One row per context of a corpus.",
        "corpus",
        (
            CORPUS_ID,
            Column("context_id", "INTEGER", "from 0, within the corpus"),
            Column("source_ref", "TEXT", "document the context was cut from"),
            Column("text", "TEXT", "text of the context"),
            Column("token_ids", "INTEGER[]", "its tokens, the start token included"),
            Column("token_starts", "INTEGER[]", "where each begins, in characters of text"),
            Column("token_ends", "INTEGER[]", "where each ends, in characters of text"),
        ),
        ("activations",),
        parted_by="context_id",
        at_once=8192,
    ),
    Table(
        "model_corpus",
        "The name under which an entry knows a corpus as tokenised for it.",
        "entry's corpus",
        (MODEL_ID, CORPUS_ID, Column("name", "TEXT", "name of the corpus")),
        ("activations",),
    ),
)
