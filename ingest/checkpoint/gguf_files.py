"""Tensors of a GGUF file, or of one split into several, dequantised slice by slice.

Shapes are stored reversed, names are llama.cpp's, Gemma's norms hold 1 + gain, and rows of queries
and keys of Llama are permuted: all of that is undone here, so that tensors come out under the names
and with the values that transformers gives them. Rows are dequantised alone; columns in whole
blocks, which run along the rows.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.errors import CheckpointError, EnvironmentFault
from catalog.ingest.checkpoint.gguf_header import GgufHeader, GgufTensor

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from catalog.ingest.checkpoint.reader import Checkpoint

SAMPLE_BYTES: Final = 4096
_PART: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_PLAIN: Final = ("F32", "F16", "BF16")
_PERMUTED: Final = ("attn_q.", "attn_k.")
_NORM: Final = "norm."
_SHARED_GATE: Final = "ffn_gate_inp_shexp."
"""A vector in the file, and in the model a matrix of one row."""

_DIVISORS: Final = "rope_freqs.weight"


@dataclass
class GgufFiles:
    """A TensorSource over the parts of one GGUF checkpoint; tensors come in float32.

    `stored` gives the name in the file for a name of transformers'. `norm_shift` is what norms hold
    beside the gain, `permuted` the numbers of query and key heads where their rows are permuted.
    """

    source: str
    parts: tuple[GgufHeader, ...]
    config: dict[str, Any]
    stored: Mapping[str, str]
    norm_shift: float
    permuted: tuple[int, int] | None
    config_name: ClassVar[str] = "header"
    is_dequantised: ClassVar[bool] = True
    _maps: dict[Path, npt.NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path, source: str) -> "GgufFiles":
        """Read the headers of a file and of the parts it is split into.

        Raises:
            CheckpointError: a part is missing, damaged or mixed up, the architecture has no
                family, or a tensor has a type that cannot be dequantised.
            EnvironmentFault: the package `gguf` is not installed.
        """
        _require_gguf(source)
        from catalog.ingest.checkpoint.gguf_layout import config_of, family_named, stored_names

        parts = _parts(path)
        family = family_named(parts[0], source)
        files = cls(
            source,
            parts,
            config_of(parts[0], family, _tensors(parts)),
            stored_names(family, _tensors(parts)),
            1.0 if family.gain == "one_plus_weight" else 0.0,
            None,
        )
        if family.gguf_permuted:
            files.permuted = family.heads(files.config)[:2]
        files._check_tensors()
        return files

    @property
    def path(self) -> Path:
        return self.parts[0].path

    @property
    def quantization(self) -> str | None:
        """Name of the mix as the file states it, else the type of most of the MLP's tensors."""
        from gguf import LlamaFileType

        kinds = Counter(
            _kind(tensor).name
            for name, tensor in _tensors(self.parts).items()
            if ".ffn_" in name and len(tensor.shape) > 1
        )
        if not kinds or set(kinds) <= set(_PLAIN):
            return None
        stated = self.parts[0].number("general.file_type")
        known = {each.value: each.name.removeprefix("MOSTLY_") for each in LlamaFileType}
        mix = "" if stated is None else known.get(stated, "")
        return mix if "_K_" in mix else kinds.most_common(1)[0][0]

    @property
    def rotary_divisors(self) -> Float[Tensor, " frequencies"] | None:
        """What the rotary frequencies are to be divided by (Llama 3.1 and later)."""
        header = self.parts[0]
        return self._vector(header, _DIVISORS) if _DIVISORS in header.tensors else None

    @property
    def names(self) -> Collection[str]:
        return self.stored.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._found(name)[1].shape

    def dtype(self, name: str) -> torch.dtype:
        self._found(name)
        return torch.float32

    def rows(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "n columns"]:
        order = self._order(name)
        wanted = slice(start, stop) if order is None else order[start:stop]
        return self._dequantised(
            self.stored[name], self._found(name)[1], self._raw_rows(name, of)[wanted]
        )

    def columns(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "rows n"]:
        tensor = self._found(name)[1]
        block, n_bytes = _block(tensor)
        first, last = start // block, -(-stop // block)
        raw = self._raw_rows(name, of)[:, first * n_bytes : last * n_bytes]
        order = self._order(name)
        raw = raw if order is None else raw[order]
        values = self._dequantised(self.stored[name], tensor, raw)
        return values[:, start - first * block : stop - first * block]

    def tensor(self, name: str) -> Float[Tensor, "..."]:
        header, tensor = self._found(name)
        if len(tensor.shape) > 1:
            return self.rows(name, 0, math.prod(tensor.shape[:-1])).view(tensor.shape)
        values = self._vector(header, self.stored[name])
        order = self._order(name)
        values = values if order is None else values[torch.from_numpy(order)]
        if _SHARED_GATE in self.stored[name]:
            return values[None]
        return values - self.norm_shift if _NORM in self.stored[name] else values

    def release(self) -> None:
        self._maps.clear()

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        from catalog.ingest.checkpoint.tokenizer import gguf_tokenizer

        return gguf_tokenizer(self.parts[0])

    def transformers_config(self) -> "PretrainedConfig":
        """The sizes alone, for architectures too that transformers does not load from GGUF."""
        from transformers import AutoConfig

        return AutoConfig.for_model(**self.config)

    def base_model(self, checkpoint: "Checkpoint", dtype: torch.dtype, **loading: Any) -> nn.Module:
        from catalog.ingest.checkpoint.gguf_model import load_gguf_model

        return load_gguf_model(checkpoint, self, dtype, **loading)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for header in self.parts:
            mapped = self._map(header)
            data = min((tensor.begin for tensor in header.tensors.values()), default=0)
            digest.update(mapped[:data].tobytes())
            for _, tensor in sorted(header.tensors.items()):
                n_bytes = _n_bytes(tensor)
                for at in (0, (n_bytes - SAMPLE_BYTES) // 2, n_bytes - SAMPLE_BYTES):
                    begin = tensor.begin + max(0, at)
                    end = min(begin + SAMPLE_BYTES, tensor.begin + n_bytes)
                    digest.update(mapped[begin:end].tobytes())
        self.release()
        return digest.hexdigest()

    def _found(self, name: str) -> tuple[GgufHeader, GgufTensor]:
        stored = self.stored.get(name)
        for header in self.parts:
            if stored in header.tensors:
                return header, header.tensors[stored]
        raise CheckpointError(f"{self.source} has no tensor named {name}.")

    def _vector(self, header: GgufHeader, stored: str) -> Float[Tensor, " n"]:
        """A tensor of one dimension, by its name in the file."""
        tensor = header.tensors[stored]
        return self._dequantised(stored, tensor, self._bytes(header, tensor)[None])[0]

    def _raw_rows(self, name: str, of: int | None = None) -> npt.NDArray[np.uint8]:
        """The bytes of a matrix, or of one of a stack, a row of it each."""
        header, tensor = self._found(name)
        n_rows = math.prod(tensor.shape[:-1])
        rows = self._bytes(header, tensor).reshape(n_rows, -1)
        if of is None:
            return rows
        return rows[of * tensor.shape[-2] : (of + 1) * tensor.shape[-2]]

    def _bytes(self, header: GgufHeader, tensor: GgufTensor) -> npt.NDArray[np.uint8]:
        return self._map(header)[tensor.begin : tensor.begin + _n_bytes(tensor)]

    def _map(self, header: GgufHeader) -> npt.NDArray[np.uint8]:
        if header.path not in self._maps:
            try:
                self._maps[header.path] = np.memmap(header.path, np.uint8, "r")
            except OSError as error:
                raise EnvironmentFault(
                    f"{header.path} cannot be read: {error.strerror}."
                ) from error
        return self._maps[header.path]

    def _dequantised(
        self, stored: str, tensor: GgufTensor, raw: npt.NDArray[np.uint8]
    ) -> Float[Tensor, "n columns"]:
        from gguf.quants import dequantize

        kind = _kind(tensor)
        try:
            values = dequantize(np.ascontiguousarray(raw), kind)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{self.source}: tensor {stored} is stored as {kind.name}, which "
                "cannot be dequantised here. Use a file of another quantisation."
            ) from error
        return torch.from_numpy(np.require(values, np.float32, "W"))

    def _order(self, name: str) -> npt.NDArray[np.int64] | None:
        """Where each row of queries or keys lies, if the file has a head's halves interleaved.

        Raises:
            CheckpointError: the rows are not those of whole heads.
        """
        stored = self.stored[name]
        if self.permuted is None or not any(each in stored for each in _PERMUTED):
            return None
        n_heads = self.permuted["attn_k." in stored]
        n_rows = self.shape(name)[0]
        if n_rows % (2 * n_heads):
            raise CheckpointError(
                f"{self.source}: tensor {stored} has {n_rows} rows, which are not those of "
                f"{n_heads} heads."
            )
        rows = np.arange(n_rows).reshape(n_heads, n_rows // n_heads // 2, 2)
        return rows.swapaxes(1, 2).reshape(-1)

    def _check_tensors(self) -> None:
        """Refuse unknown types and tensors that pass the end of their file."""
        for header in self.parts:
            for name, tensor in header.tensors.items():
                _kind(tensor, f"{self.source}: tensor {name}")
                if not all(tensor.shape) or math.prod(tensor.shape[-1:]) % _block(tensor)[0]:
                    raise CheckpointError(
                        f"{self.source}: tensor {name} has shape {tensor.shape}, which its "
                        "quantisation cannot have."
                    )
                if tensor.begin + _n_bytes(tensor) > header.n_bytes:
                    raise CheckpointError(
                        f"{header.path} is truncated: tensor {name} ends beyond its "
                        f"{header.n_bytes:,} bytes. Download it again."
                    )


def _require_gguf(source: str) -> None:
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"{source} is a GGUF file, and the package that reads them is not installed here: "
            "pip install 'neuron-catalog[gguf]'"
        ) from error


def _parts(path: Path) -> tuple[GgufHeader, ...]:
    """The headers of all parts of the file, in their order."""
    first = GgufHeader.read(path)
    count = first.number("split.count") or 1
    match = _PART.fullmatch(path.name)
    if count == 1:
        return (first,)
    if match is None:
        raise CheckpointError(
            f"{path} is one of {count} parts, but its name does not end in "
            f"-00001-of-{count:05}.gguf as the names of parts do. Give it the name it had."
        )
    headers = []
    for number in range(1, count + 1):
        part = path.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf")
        if not part.is_file():
            raise CheckpointError(
                f"{path} is split into {count} parts, of which {part.name} is missing. Put all "
                "parts side by side."
            )
        header = GgufHeader.read(part)
        if (header.number("split.no"), header.number("split.count")) != (number - 1, count):
            raise CheckpointError(
                f"{part} is not part {number} of {count}, as its name says: parts are mixed up. "
                "Download them again."
            )
        headers.append(header)
    names = [name for header in headers for name in header.tensors]
    stated = headers[0].number("split.tensors.count")
    if len(set(names)) != len(names) or stated not in (None, len(names)):
        raise CheckpointError(f"The parts of {path} do not belong together. Download them again.")
    return tuple(headers)


def _tensors(parts: Sequence[GgufHeader]) -> dict[str, GgufTensor]:
    return {name: tensor for header in parts for name, tensor in header.tensors.items()}


def _kind(tensor: GgufTensor, named: str = "a tensor") -> Any:
    """GGML's type of a tensor, if it can be dequantised."""
    from gguf import GGMLQuantizationType

    try:
        return GGMLQuantizationType(tensor.kind)
    except ValueError as error:
        raise CheckpointError(
            f"{named} has the quantisation type {tensor.kind}, which is not known here. Use a file "
            "of another quantisation, or install a newer gguf."
        ) from error


def _block(tensor: GgufTensor) -> tuple[int, int]:
    """Values in a block, and its bytes."""
    from gguf import GGML_QUANT_SIZES

    block, n_bytes = GGML_QUANT_SIZES[_kind(tensor)]
    return block, n_bytes


def _n_bytes(tensor: GgufTensor) -> int:
    block, n_bytes = _block(tensor)
    return math.prod(tensor.shape) // block * n_bytes
