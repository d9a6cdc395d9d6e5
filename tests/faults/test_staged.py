"""A staging folder that is not as an ingest left it."""

from collections.abc import Callable
from pathlib import Path

from catalog.store.staging import staging_root
from tests.faults.registry import Fault, injects
from tests.faults.runs import At, Ingest
from tests.support import Row, held

Rows = Callable[[Ingest], dict[str, list[Row]]]


def flipped(data: bytes) -> bytes:
    """A byte in the middle is another one."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGED = (
    "Error: The staged rows in … were damaged and are removed. Run the same command again: it "
    "computes them anew."
)
REPAIRED = "all other staged rows; the same command computes these anew"
DAMAGES: dict[Fault, Callable[[bytes], bytes]] = {
    Fault("a staged Parquet file is cut short", 7, DAMAGED, REPAIRED): lambda d: d[: len(d) // 2],
    Fault("a staged Parquet file is empty", 7, DAMAGED, REPAIRED): lambda d: b"",
    Fault("a byte of a staged Parquet file is flipped", 7, DAMAGED, REPAIRED): flipped,
}


def stopped_before_loading(ingest: Ingest, stage: str) -> list[Path]:
    """Compute a stage and stop before its rows are loaded; the files that it staged."""

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    try:
        ingest.here(At(f"loading {stage}", stop))
    except Stopped:
        return sorted(path for path in staging_root(ingest.db).rglob("*") if path.is_file())
    raise AssertionError("it went on")


@injects(*DAMAGES)
def test_damaged_rows(fault: Fault, weights: Ingest, undisturbed: Rows) -> None:
    staged = stopped_before_loading(weights, "weights")
    assert len(staged) == 3
    staged[1].write_bytes(DAMAGES[fault](staged[1].read_bytes()))
    fault.seen(weights.answer())
    assert not staged[1].exists()
    assert weights.carries_on() == undisturbed(weights)


UNREADABLE = "Error: The checkpoint … cannot be read … Delete it to start again"
STATES: dict[Fault, Callable[[bytes], bytes]] = {
    Fault("the saved state of the activation pass is cut short", 7, UNREADABLE, "the catalog"): (
        lambda d: d[: len(d) // 2]
    ),
    Fault(
        "one bit of the saved state of the activation pass is flipped", 7, UNREADABLE, "the catalog"
    ): lambda d: d[:-9] + bytes([d[-9] ^ 1]) + d[-8:],
    Fault("the saved state of the activation pass is empty", 7, UNREADABLE, "the catalog"): (
        lambda d: b""
    ),
    Fault(
        "the saved state of the activation pass is another file", 7, UNREADABLE, "the catalog"
    ): lambda d: b"\x02" + bytes(7) + b"{}" + bytes(100),
}


@injects(*STATES)
def test_damaged_state(fault: Fault, activations: Ingest, undisturbed: Rows) -> None:
    staged = stopped_before_loading(activations, "activations")
    [state] = [path for path in staged if path.name == "state.safetensors"]
    state.write_bytes(STATES[fault](state.read_bytes()))
    fault.seen(activations.answer())
    state.unlink()
    assert activations.carries_on() == undisturbed(activations)


@injects(
    Fault(
        "the staging folder holds what another version staged",
        0,
        "tiny: 72 neurons",
        "all; rows of another version are removed and never loaded",
    ),
    Fault(
        "the staging folder holds files that nobody knows",
        0,
        "tiny: 72 neurons",
        "all; the stage's folder is removed with them",
    ),
)
def test_a_staging_folder_of_another(fault: Fault, weights: Ingest, undisturbed: Rows) -> None:
    staged = stopped_before_loading(weights, "weights")
    folder = staged[0].parent
    if "version" in fault.name:
        folder.rename(folder.with_name("weights-0123456789abcdef"))
        (folder.parent / "weights-0123456789abcdef" / "neuron-00000.parquet").write_bytes(b"old")
    else:
        for name in ("neuron-00001.part", "rows.of.tomorrow", "neuron-99999.parquet"):
            (folder / name).write_bytes(b"?")
        (folder / "folder").mkdir()
    fault.seen(weights.answer())
    assert not folder.exists()
    assert weights.rows() == undisturbed(weights)


@injects(
    Fault(
        "a file stands where the staging folder should be",
        7,
        "Error: … could not be written: …",
        "the file and the catalog",
    )
)
def test_a_file_in_the_place_of_the_folder(
    fault: Fault, weights: Ingest, undisturbed: Rows
) -> None:
    staging_root(weights.db).write_text("mine")
    fault.seen(weights.answer())
    assert staging_root(weights.db).read_text() == "mine"
    staging_root(weights.db).unlink()
    assert weights.carries_on() == undisturbed(weights)


@injects(
    Fault(
        "somebody keeps the catalog open for longer than --wait",
        6,
        "Error: … is in use by … (process …), and still was after 0.3 seconds. Close that program, "
        "or wait longer with --wait.",
        "what was staged; the next run loads it",
    )
)
def test_a_catalog_that_is_held(fault: Fault, weights: Ingest, undisturbed: Rows) -> None:
    stopped_before_loading(weights, "weights")
    with held(weights.db, "read"):
        fault.seen(weights.answer())
    assert weights.carries_on() == undisturbed(weights)
