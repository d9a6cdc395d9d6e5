"""The script that measures a GPU, on the CPU: it works, and says that a CPU agrees with itself."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
PARTS = ("checks", "activations", "vocab", "wiring", "ablation", "attribution", "corpus")


@pytest.mark.slow
def test_every_part_gives_numbers(tmp_path: Path) -> None:
    given = ("--device", "cpu", "--size", "small", "--repeats", "1", "--folder", str(tmp_path))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert tuple(results) == PARTS
    rows = [row for part in results.values() for row in part]
    assert all(math.isfinite(row["measured"]) for row in rows)
    assert all(row["measured"] <= row["target"] for row in results["checks"])
    assert all(row["measured"] > 0 for part in PARTS[1:] for row in results[part])
    assert all(row["what"] in done.stdout for row in rows)
    again = [sys.executable, str(SCRIPT), *given, "--parts", "corpus", "--minutes", "0"]
    late = subprocess.run(again, capture_output=True, text=True, check=False)
    assert late.returncode == 0, late.stderr
    assert "No time is left for corpus" in late.stdout
    assert json.loads((tmp_path / "results.json").read_text()) == results
