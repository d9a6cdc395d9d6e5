"""Where a checkpoint lies: a demo model, a local folder or file, or the Hugging Face Hub."""

import difflib
import re
from collections.abc import Callable
from pathlib import Path

from catalog.errors import CheckpointError, EnvironmentFault, NotFoundError, Option
from catalog.ingest.checkpoint.gguf_header import MAGIC
from catalog.ingest.checkpoint.reader import Checkpoint
from catalog.ingest.checkpoint.safetensors_files import INDEX_NAME, SINGLE_NAME
from catalog.ingest.demo import MODEL_FOLDERS
from catalog.ingest.paths import absolute, is_there, require_plain_files, user_path

# `model*.safetensors` leaves out copies in other layouts, such as Mistral's consolidated file.
_TOKENIZER_FILES = [
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
]
_HUB_FILES = [
    "config.json",
    "generation_config.json",
    "chat_template*",
    *_TOKENIZER_FILES,
    INDEX_NAME,
    "model*.safetensors",
]
GGUF_ENDING = ".gguf"
_UNKNOWN = "{} is neither a folder here nor a Hub id (owner/name)."
_NO_REPOSITORY = (
    "{} is neither a folder here nor a repository on the Hub (a private one needs `hf auth login` "
    "or HF_TOKEN)."
)
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


def open_checkpoint(
    source: str,
    revision: str | None = None,
    file: str | None = None,
    tokenizer: Path | None = None,
    *,
    may_download: bool = True,
) -> Checkpoint:
    """Open a demo model, a local folder or GGUF file, or a Hub id (downloaded if need be).

    An existing path, or anything that begins with `.`, `/` or `~`, is local, and its source is the
    absolute path; OWNER/NAME/FILE.gguf is a file of a Hub repository. `file` chooses among several
    GGUF files of a folder or repository; where there are safetensors too, these are taken.
    `tokenizer` is a folder with the tokenizer. Without `may_download` only the Hub's cache is read.

    Raises:
        CheckpointError: it cannot be read, or it is not clear which file is meant.
        NotFoundError: an unknown repository, file or revision.
        EnvironmentFault: the network or a permission is missing.
    """
    if source in MODEL_FOLDERS:
        return Checkpoint.read(MODEL_FOLDERS[source], source)
    if is_local(source):
        return _local(absolute(user_path(source)), file, tokenizer)
    if near := difflib.get_close_matches(source, MODEL_FOLDERS, n=1, cutoff=0.75):
        raise NotFoundError(f"There is no model {source}. Did you mean {near[0]}?")
    parts = source.split("/")
    if len(parts) > 2 and source.endswith(GGUF_ENDING):
        source, file = "/".join(parts[:2]), "/".join(parts[2:])
    if file is None:
        folder = _download(source, revision, _HUB_FILES, may_download)
        if _has_safetensors(folder):
            return Checkpoint.read(folder, source, revision=folder.name)
        file = _only_file(_first_parts(_hub_files(source, revision)), source)
        if file is None:
            return Checkpoint.read(folder, source, revision=folder.name)
    folder = _download(source, revision, [file, *_TOKENIZER_FILES], may_download)
    if not (folder / file).is_file():
        raise NotFoundError(f"{source} has no file {file}.")
    return Checkpoint.read_gguf(folder / file, f"{source}/{file}", folder.name, tokenizer)


def is_local(source: str) -> bool:
    """Whether a source is a path and no Hub id."""
    return source.startswith((".", "/", "~")) or is_there(user_path(source))


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one checkpoint, by the files that transformers writes."""
    return (folder / "config.json").is_file() or _has_safetensors(folder)


def _local(path: Path, file: str | None, tokenizer: Path | None) -> Checkpoint:
    source = str(path)
    if not is_there(path):
        raise CheckpointError(
            f"{source} does not exist; a checkpoint is a folder with a config.json, or a GGUF file."
        )
    if path.is_dir():
        require_plain_files(path)
        if file is None and not _has_safetensors(path):
            file = _only_file(gguf_checkpoints(path), source)
        if file is None:
            return Checkpoint.read(path, source)
        path = path / file
    if not path.is_file() or not _is_gguf(path):
        what = "is a file, but no GGUF file" if is_there(path) else "does not exist"
        raise CheckpointError(
            f"{path} {what}; a checkpoint is a folder with a config.json, or a GGUF file."
        )
    return Checkpoint.read_gguf(path, str(path), None, tokenizer)


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error


def _has_safetensors(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SINGLE_NAME, INDEX_NAME))


def gguf_checkpoints(folder: Path) -> list[str]:
    """Names of the GGUF files in a folder, of split ones the first part; sorted."""
    return _first_parts(sorted(path.name for path in folder.iterdir()))


def _first_parts(names: list[str]) -> list[str]:
    files = [name for name in names if name.endswith(GGUF_ENDING)]
    return [name for name in files if not _LATER_PART.search(name)]


def _only_file(checkpoints: list[str], source: str) -> str | None:
    """The only GGUF checkpoint, None without any.

    Raises:
        CheckpointError: there are several; the message names them.
    """
    if len(checkpoints) > 1:
        raise CheckpointError(
            f"{source} has several GGUF files: {', '.join(checkpoints)}.",
            "Choose one with ",
            Option("file", "NAME"),
            ".",
        )
    return checkpoints[0] if checkpoints else None


def _hub_files(repository: str, revision: str | None) -> list[str]:
    """Names of all files of a repository that was found before."""
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        return sorted(list_repo_files(repository, revision=revision))
    except (HTTPError, OSError):
        return []


def hub_revisions(repository: str, say: Callable[[str], None]) -> list[str]:
    """Names of the branches and tags of a repository, sorted.

    Where the Hub cannot be reached, those in its cache, which is said.

    Raises:
        NotFoundError: there is no such repository.
        EnvironmentFault: the Hub cannot be reached, and its cache has none.
    """
    from huggingface_hub import HfApi, constants, errors
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.file_download import repo_folder_name

    try:
        refs = HfApi().list_repo_refs(repository)
    except errors.HFValidationError as error:
        raise NotFoundError(_UNKNOWN.format(repository)) from error
    except errors.RepositoryNotFoundError as error:
        raise NotFoundError(_NO_REPOSITORY.format(repository)) from error
    except (HTTPError, OSError) as error:
        kept = repo_folder_name(repo_id=repository, repo_type="model")
        folder = Path(constants.HF_HUB_CACHE) / kept / "refs"
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        if not names:
            raise EnvironmentFault(_unreachable(repository, may_download=True)) from error
        say(f"{repository}: the Hub cannot be asked, so only revisions in its cache are known")
        return sorted(names)
    return sorted(ref.name for ref in (*refs.branches, *refs.tags))


def _download(repository: str, revision: str | None, files: list[str], may_download: bool) -> Path:
    # The Hub client takes 0.3 s to import and local folders do not need it.
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    named = f"{repository} at revision {revision}" if revision else repository
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=files,
                local_files_only=not may_download,
            )
        )
    except errors.HFValidationError as error:
        raise NotFoundError(_UNKNOWN.format(repository)) from error
    except errors.GatedRepoError as error:
        raise EnvironmentFault(
            f"{repository} is gated: accept its terms on https://huggingface.co/{repository}, then "
            "log in with `hf auth login` or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NotFoundError(f"{repository} has no revision {revision} on the Hub.") from error
    except errors.RepositoryNotFoundError as error:
        raise NotFoundError(_NO_REPOSITORY.format(repository)) from error
    except errors.LocalEntryNotFoundError as error:
        raise EnvironmentFault(_unreachable(named, may_download)) from error
    except (HTTPError, errors.RevisionResolutionError, errors.XetDownloadError, OSError) as error:
        raise EnvironmentFault(f"{named} could not be downloaded: {error}") from error


def _unreachable(named: str, may_download: bool) -> str:
    from huggingface_hub import constants

    if not may_download:
        return f"{named} is not in the Hub's cache."
    missing = f"{named} is neither a path here nor in the Hub's cache, and"
    if constants.HF_HUB_OFFLINE:
        return f"{missing} HF_HUB_OFFLINE forbids downloading it."
    return f"{missing} the Hub cannot be reached: check the name, or the network."
