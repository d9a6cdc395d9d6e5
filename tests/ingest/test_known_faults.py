"""Versions of transformers that run a model wrongly are refused wherever a model is run."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from catalog.errors import EnvironmentFault
from catalog.ingest import known_faults
from catalog.ingest.activations.model import load_model
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.families import FAMILIES
from catalog.ingest.known_faults import KNOWN_FAULTS, KnownFault, refuse_known_faults
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Silent
from catalog.ingest.roles.start_token import start_keys
from catalog.store.handle import Handle
from tests.support import query
from tests.tiny_checkpoints import build


@pytest.mark.parametrize("fault", KNOWN_FAULTS, ids=lambda fault: fault.model_types[0])
def test_a_fault_is_refused_in_its_versions_only(fault: KnownFault) -> None:
    assert set(fault.model_types) <= set(FAMILIES)
    for model_type in fault.model_types:
        with pytest.raises(EnvironmentFault, match=f"{fault.since} .*{fault.fixed} mends it"):
            refuse_known_faults(model_type, "org/model", fault.since)
        refuse_known_faults(model_type, "org/model", fault.fixed)
        refuse_known_faults(model_type, "org/model", version("transformers"))
    refuse_known_faults("llama", "org/model", fault.since)


def test_olmo_3_ran_wrongly_until_5_12() -> None:
    with pytest.raises(EnvironmentFault, match="YaRN"):
        refuse_known_faults("olmo3", "org/model", "5.12.1")
    refuse_known_faults("olmo3", "org/model", "5.13.0")


def test_whatever_runs_the_model_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here: Any = (KnownFault(("llama",), "5.0", "99.0", "it is made up"),)
    monkeypatch.setattr(known_faults, "KNOWN_FAULTS", here)
    checkpoint = open_checkpoint(str(build("llama", tmp_path)))
    with pytest.raises(EnvironmentFault, match="made up"):
        load_model(checkpoint, torch.float32, torch.device("cpu"))
    asked = IngestRequest(Handle(tmp_path / "c.duckdb"), str(tmp_path), stages=("activations",))
    with pytest.raises(EnvironmentFault, match="made up"):
        ingest(asked, Silent())
    assert query(tmp_path / "c.duckdb", "select * from model") == []  # nothing was begun
    weights = NeuronVectors(checkpoint, "folded")
    with pytest.raises(EnvironmentFault, match="made up"):
        next(start_keys(weights, 0))
    assert weights.block(0, 0, 4)["out"].shape == (4, 32)
