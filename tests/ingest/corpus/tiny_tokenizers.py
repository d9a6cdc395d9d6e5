"""Two small trained tokenizers of the kinds that checkpoints have."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps.\n\n  def fox(self): return 1",
    "Ein Käfer läuft über die Straße; les élèves français mangent à Noël.",
    "日本語のテキストと絵文字 👩‍🚀🦊 sind mehrere Bytes lang. " * 3,
    "one two three four five six seven eight nine ten eleven twelve\tthirteen\r\nfourteen",
]
N_BYTES = 256


def byte_level(**special: str) -> PreTrainedTokenizerFast:
    """Like GPT-2's or OLMo's: it trims offsets, and adds `<s>` by itself."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    adds_start = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    core.post_processor = processors.Sequence([processors.ByteLevel(), adds_start])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, **(special or {"bos_token": "<s>", "eos_token": "</s>"})
    )


def metaspace() -> PreTrainedTokenizerFast:
    """Like Llama-2's: no pre-tokenizer, a space put in front, bytes for what it does not know."""
    core = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    special = ["<unk>", "<s>", "</s>"]
    pieces = [f"<0x{byte:02X}>" for byte in range(N_BYTES)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special + pieces, limit_alphabet=40, show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    definition = json.loads(core.to_str())
    replaced = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [{"type": "Prepend", "prepend": "▁"}, replaced]
    definition["added_tokens"] = definition["added_tokens"][: len(special)]
    definition["pre_tokenizer"] = None
    definition["normalizer"] = {"type": "Sequence", "normalizers": steps}
    core = Tokenizer.from_str(json.dumps(definition))
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
