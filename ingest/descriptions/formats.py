"""What each format says where: one function a format, from a path to descriptions.

Sources: Neuronpedia's exports of explanations (docs.neuronpedia.org, "exports"); Transluce's neuron
descriptions (transluce.org/neuron-descriptions); delphi (Paulo et al. 2024), what its pipeline
writes under `results/`; Bills et al. 2023, the records that they published.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from catalog.errors import UsageError
from catalog.ingest.descriptions.description import (
    ANY,
    Description,
    NotANeuron,
    as_index,
    as_score,
    as_text,
)
from catalog.ingest.descriptions.files import (
    json_file,
    json_rows,
    require,
    table_rows,
    unreadable,
)
from catalog.neuron_id import NeuronId

Found: TypeAlias = Description | NotANeuron
Reader: TypeAlias = Callable[[Path], Iterator[Found]]

_OF_NEURONS: Final = re.compile(r"(\d{1,6})(?:-(?:neurons?|mlp)(?:-(pos|neg))?)?", re.ASCII)
"""Neuronpedia's sources of neurons; a set of features has another name: 6-res-jb.

`pos` and `neg`, here and in modules of delphi, are those of our own exports of exemplars.
"""

_POLARITY: Final = {"1": "+", "+1": "+", "pos": "+", "-1": "-", "neg": "-", "+": "+", "-": "-"}
_LATENT: Final = re.compile(r"(?P<module>.+)_(?:latent|feature)(?P<neuron>\d{1,9})", re.ASCII)
_MLP_OF_LAYER: Final = re.compile(
    r"(?:^|.*[._])(?:layers|layer|h|blocks)[._](\d{1,6})[._].*mlp(?:\.(pos|neg)|.*)", re.ASCII
)


def neuronpedia(path: Path) -> Iterator[Found]:
    """Explanations as Neuronpedia exports them: JSON lines, plain or gzipped, or their folder."""
    for where, row in json_rows(path):
        require(row, ("modelId", "layer", "index", "description"), where)
        match = _OF_NEURONS.fullmatch(str(row["layer"]))
        if match is None:
            yield NotANeuron(f"{row['modelId']} {row['layer']} {row['index']}")
            continue
        scores = row.get("scores")
        scored = scores[0] if isinstance(scores, list) and scores else {}
        scored = scored if isinstance(scored, dict) else {}
        yield _description(
            where,
            model=as_text(row["modelId"]),
            layer=match[1],
            neuron=row["index"],
            text=row["description"],
            source="neuronpedia",
            sign_case=_POLARITY.get(match[2], ANY),
            explainer=row.get("explanationModelName"),
            scorer=scored.get("explanationScoreTypeName"),
            score=scored.get("value"),
            key=row.get("id"),
        )


def transluce(path: Path) -> Iterator[Found]:
    """Transluce's table (CSV, Parquet or JSON lines): a description per neuron and sign of post."""
    for where, row in table_rows(path):
        require(row, ("layer", "neuron", "description"), where)
        polarity = (as_text(row.get("polarity")) or "").strip().lower().removesuffix(".0")
        if polarity and polarity not in _POLARITY:
            raise unreadable(where, f"polarity is {polarity[:40]!r}; it is 1 or -1")
        yield _description(
            where,
            model=as_text(row.get("model")),
            layer=row["layer"],
            neuron=row["neuron"],
            text=row["description"],
            source="transluce",
            sign_case=_POLARITY[polarity] if polarity else ANY,
            explainer=row.get("explainer"),
            scorer="simulation",
            score=row.get("score"),
            key=row.get("id"),
        )


def delphi(path: Path) -> Iterator[Found]:
    """A result folder of delphi: `explanations/`, `scores/SCORER/`, and `run_config.json`.

    A description has one row for each scorer; its score is the share of examples judged correctly.
    """
    explanations = path / "explanations"
    if not explanations.is_dir():
        raise UsageError(f"{path} is no result folder of delphi: it has no folder explanations.")
    config = json_file(path / "run_config.json") if (path / "run_config.json").is_file() else {}
    config = config if isinstance(config, dict) else {}
    folders = (path / "scores").iterdir() if (path / "scores").is_dir() else ()
    scorers = sorted(folder for folder in folders if folder.is_dir())
    for file in sorted(explanations.rglob("*.txt")):
        match = _LATENT.fullmatch(file.stem)
        module = None if match is None else _MLP_OF_LAYER.fullmatch(match["module"])
        if match is None or module is None:
            yield NotANeuron(file.stem)
            continue
        text = json_file(file)
        if not isinstance(text, str):
            raise unreadable(file, "no JSON text")
        name = file.relative_to(explanations)
        scored: list[tuple[str, Path] | tuple[None, None]]
        scored = [(each.name, each / name) for each in scorers if (each / name).is_file()]
        for scorer, scores in scored or [(None, None)]:
            yield _description(
                str(file),
                model=as_text(config.get("model")),
                layer=module[1],
                neuron=match["neuron"],
                text=text,
                source="delphi",
                sign_case=_POLARITY.get(module[2], ANY),
                explainer=config.get("explainer_model"),
                scorer=scorer,
                score=None if scores is None else _share_correct(scores),
                key=f"{file.stem} {scorer or ''}".strip(),
            )


def _share_correct(path: Path) -> float | None:
    judged = json_file(path)
    if not isinstance(judged, list):
        return None
    known = [each["correct"] for each in judged if isinstance(each, dict) and "correct" in each]
    known = [each for each in known if isinstance(each, bool)]
    return sum(known) / len(known) if known else None


def bills(path: Path) -> Iterator[Found]:
    """Records of Bills et al.: JSON lines, a file a neuron, or a folder of such files."""
    for where, row in json_rows(path):
        require(row, ("neuron_id", "scored_explanations"), where)
        neuron, explanations = row["neuron_id"], row["scored_explanations"]
        if not isinstance(neuron, dict) or not isinstance(explanations, list):
            raise unreadable(where, "neuron_id is no object, or scored_explanations no list")
        require(neuron, ("layer_index", "neuron_index"), where)
        for each in explanations:
            if not isinstance(each, dict) or "explanation" not in each:
                raise unreadable(where, "a scored explanation without explanation")
            simulation = each.get("scored_simulation")
            simulated = simulation if isinstance(simulation, dict) else {}
            yield _description(
                where,
                layer=neuron["layer_index"],
                neuron=neuron["neuron_index"],
                text=each["explanation"],
                source="bills",
                scorer="simulation",
                score=simulated.get("ev_correlation_score"),
            )


def table(path: Path) -> Iterator[Found]:
    """Our own table: CSV, Parquet or JSON lines with the columns of the view `descriptions`.

    Needed are `description`, and `layer` and `neuron`, or `neuron_id`.
    """
    for where, row in table_rows(path):
        require(row, ("description",), where)
        expert = None
        if "neuron_id" in row and not ("layer" in row and "neuron" in row):
            try:
                at = NeuronId.parse(str(row["neuron_id"]))
            except UsageError as error:
                raise unreadable(where, error.said.removesuffix(".")) from None
            row, expert = {**row, "layer": at.layer, "neuron": at.neuron}, at.expert
        require(row, ("layer", "neuron"), where)
        yield _description(
            where,
            model=as_text(row.get("model")),
            layer=row["layer"],
            neuron=row["neuron"],
            text=row["description"],
            source=as_text(row.get("source")) or "table",
            sign_case=row.get("sign_case") or ANY,
            explainer=row.get("explainer"),
            scorer=row.get("scorer"),
            score=row.get("score"),
            key=row.get("source_key"),
            expert=expert,
        )


FORMATS: Final[dict[str, Reader]] = {
    "neuronpedia": neuronpedia,
    "transluce": transluce,
    "delphi": delphi,
    "bills": bills,
    "table": table,
}
"""All formats by name."""


def _description(
    where: str,
    *,
    layer: Any,
    neuron: Any,
    text: Any,
    source: str,
    model: str | None = None,
    sign_case: str = ANY,
    explainer: Any = None,
    scorer: Any = None,
    score: Any = None,
    key: Any = None,
    expert: int | None = None,
) -> Description:
    """A description of what a file says, checked; an error names the place in the file."""
    try:
        if not isinstance(text, str):
            raise ValueError("a description that is no text")
        return Description(
            as_index(layer, "layer"),
            as_index(neuron, "neuron"),
            (as_text(text) or "").strip(),
            source,
            model,
            sign_case,
            as_text(explainer),
            as_text(scorer),
            as_score(score),
            as_text(key),
            expert,
        )
    except ValueError as error:
        raise unreadable(where, error) from None
