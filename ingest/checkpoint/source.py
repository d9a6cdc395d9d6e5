"""Where a checkpoint lies: the demo, a local folder, or the Hugging Face Hub."""

from pathlib import Path

from catalog.errors import CheckpointError, EnvironmentFault, NotFoundError
from catalog.ingest.checkpoint.reader import INDEX_NAME, Checkpoint
from catalog.ingest.paths import is_there, user_path

DEMO = "demo"
# `model*.safetensors` leaves out copies in other layouts, such as Mistral's consolidated file.
_HUB_FILES = [
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    INDEX_NAME,
    "model*.safetensors",
]


def open_checkpoint(source: str, revision: str | None = None) -> Checkpoint:
    """Open `demo`, a local folder, or a Hub id (downloaded into the Hub's cache if need be).

    An existing path, or anything that begins with `.`, `/` or `~`, is a folder. Raises
    CheckpointError for a checkpoint that cannot be read, NotFoundError for an unknown repository
    or revision, EnvironmentFault when the network or a permission is missing.
    """
    if source == DEMO:
        from catalog.ingest.demo import MODEL_FOLDER

        return Checkpoint.read(MODEL_FOLDER, source)
    path = user_path(source)
    if source.startswith((".", "/", "~")) or is_there(path):
        if not (is_there(path) and path.is_dir()):
            there = "is a file" if is_there(path) else "does not exist"
            raise CheckpointError(f"{source} {there}; a checkpoint is a folder with a config.json.")
        return Checkpoint.read(path, source)
    folder = _download(source, revision)
    return Checkpoint.read(folder, source, revision=folder.name)


def _download(repository: str, revision: str | None) -> Path:
    # The Hub client takes 0.3 s to import and local folders do not need it.
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    named = f"{repository} at revision {revision}" if revision else repository
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_HUB_FILES))
    except errors.HFValidationError as error:
        raise NotFoundError(
            f"{repository} is neither a folder here nor a Hub id (owner/name)."
        ) from error
    except errors.GatedRepoError as error:
        raise EnvironmentFault(
            f"{repository} is gated: accept its terms on https://huggingface.co/{repository}, then "
            "log in with `hf auth login` or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NotFoundError(f"{repository} has no revision {revision} on the Hub.") from error
    except errors.RepositoryNotFoundError as error:
        raise NotFoundError(
            f"{repository} is neither a folder here nor a repository on the Hub "
            "(a private one needs `hf auth login` or HF_TOKEN)."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise EnvironmentFault(_unreachable(named)) from error
    except (HTTPError, errors.RevisionResolutionError, errors.XetDownloadError, OSError) as error:
        raise EnvironmentFault(f"{named} could not be downloaded: {error}") from error


def _unreachable(named: str) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return f"{named} is not in the Hub's cache and HF_HUB_OFFLINE forbids downloading it."
    return f"{named} is not in the Hub's cache and the Hub cannot be reached: check the network."
