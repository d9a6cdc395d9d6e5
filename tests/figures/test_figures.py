"""Every figure from a small catalog, in every format, and what is refused."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from catalog.errors import NotFoundError, UsageError
from catalog.figures import FILE_FORMATS, figure_names, render
from catalog.figures.data import FigureData
from catalog.figures.kinds.neuron import _ticks
from catalog.reports.colours import CLASS_COLOURS
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.taxonomy import IO_CLASSES
from tests import synthetic
from tests.support import Answer, execute, python, query

FIRST_BYTES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
FIGURES = figure_names()
OF_SERIES = ("evolution", "flow")
NOT_OF_ALL = ("ablation", "gates", "neuron", "roles")
OF_WEIGHTS = [name for name in FIGURES if name not in (*NOT_OF_ALL, *OF_SERIES)]
NEEDED: dict[str, dict[str, str]] = {"neuron": {"neuron": "28.4737"}}
"""Options that a figure cannot do without."""

PAPER = {"classes", "cosines", "definition", "medians", "scatter", "swiglu"}

# Linear RGB as seen without the long, middle or short cones (Machado et al. 2009, severity 1).
CONES_MISSING = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.fixture(scope="module")
def layers(once: Callable[..., Path]) -> Path:
    """One model of one layer, one of 300, one whose neurons have no class."""

    def build(folder: Path) -> None:
        path = folder / "layers.duckdb"
        ensure_catalog(Handle(path))
        for alias, n_layers in (("one", 1), ("many", 300)):
            cosines = {f"{layer}.0": (0.1, 0.2, 0.7) for layer in range(n_layers)}
            synthetic.load_weights(path, synthetic.entry(alias, n_layers=n_layers), cosines)
        synthetic.load_weights(path, synthetic.entry("null"), {"0.0": (None, None, None)})

    return once("layers", build) / "layers.duckdb"


@pytest.fixture(scope="module")
def known(once: Callable[..., Path], known: Path) -> Path:
    """The catalog that all tests know, and a role for each neuron of `alpha`."""

    def build(folder: Path) -> None:
        shutil.copy(known, folder / "known.duckdb")
        execute(
            folder / "known.duckdb",
            "update neuron set functional_role = if(layer < 30, 'prediction', 'other') "
            "where run_id in (select run_id from ingest_run join model using (model_id) "
            "where alias = 'alpha')",
            "update model set series = 'run', step = 5 where alias = 'alpha'",
        )

    return once("roled", build) / "known.duckdb"


@pytest.fixture(scope="module")
def stepped(once: Callable[..., Path], known: Path) -> Path:
    """The same, with a second step of the series of `alpha`."""

    def build(folder: Path) -> None:
        path = folder / "stepped.duckdb"
        shutil.copy(known, path)
        later = synthetic.entry("a later one", n_layers=32, d_mlp=8192, series="run", step=10)
        synthetic.load_weights(path, later, {"28.4737": (0.1, 0.2, 0.7)})

    return once("stepped", build) / "stepped.duckdb"


def test_the_figures_of_the_paper_are_there() -> None:
    assert set(FIGURES) >= PAPER
    assert sorted(FIGURES) == FIGURES


@pytest.mark.parametrize(("name", "file_format"), [*itertools.product(FIGURES, FILE_FORMATS)])
def test_every_figure_in_every_format_is_the_same_each_time(
    known: Path, stepped: Path, name: str, file_format: str
) -> None:
    catalog = Handle(stepped if name in OF_SERIES else known)

    def drawn() -> bytes:
        data = FigureData(catalog, ["alpha"] if name in NEEDED else [])
        return render(name, data, file_format, **NEEDED.get(name, {}))

    picture = drawn()
    assert picture.startswith(FIRST_BYTES[file_format])
    assert picture == drawn()


@pytest.mark.parametrize("name", OF_WEIGHTS)
@pytest.mark.parametrize("models", [["one"], ["many"], ["one", "many"]])
def test_one_layer_hundreds_and_several_models(layers: Path, name: str, models: list[str]) -> None:
    assert render(name, FigureData(Handle(layers), models), "png")


def test_ablations_are_drawn_of_models_that_have_some(known: Path) -> None:
    data = FigureData(Handle(known), ["alpha"])
    loss, rank = (render("ablation", data, "svg", metric=each) for each in ("loss", "rank"))
    assert b"depletion (2)" in loss and loss != rank
    with pytest.raises(NotFoundError, match="nothing to draw of beta"):
        render("ablation", FigureData(Handle(known), ["beta"]), "svg")


def test_titles_name_model_and_kind_of_weights(known: Path) -> None:
    for name in ("classes", "medians"):
        picture = render(name, FigureData(Handle(known), ["beta"]), "svg").decode()
        assert "<!-- beta (raw weights) -->" in picture


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ablation", "What ablations do to the loss, beside random neurons"),
        ("classes", "IO classes by layer, at threshold 0.5"),
        ("cosines", "Cosines of each neuron's weight vectors, by layer"),
        ("evolution", "IO classes in training, at threshold 0.5"),
        ("flow", "IO classes of neurons at an earlier and a later step, threshold 0.5"),
        ("gates", "How often gates are open, by IO class"),
        ("medians", "Median cosine of w_in and w_out by layer"),
        ("neuron", "Neuron 28.4737 of alpha: enrichment"),
        ("roles", "Functional roles by layer"),
        ("scatter", "Neurons by their cosines, with class borders"),
    ],
)
def test_titles_say_what_a_figure_is(known: Path, stepped: Path, name: str, what: str) -> None:
    data = FigureData(Handle(stepped if name in OF_SERIES else known), ["alpha"])
    assert what in render(name, data, "svg", **NEEDED.get(name, {})).decode()


def test_every_outlier_of_a_cosine_has_a_dot_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "outliers.duckdb"
    ensure_catalog(Handle(path))
    usual = {f"0.{at}": (0.1, 0.1, 0.01 * at) for at in range(20)}
    far = {f"0.{20 + at}": (0.1, 0.1, value) for at, value in enumerate((0.801, 0.801, 0.804))}
    synthetic.load_weights(path, synthetic.entry("a", n_layers=1, d_mlp=23), usual | far)
    data = FigureData(Handle(path))
    rows = data.own_query("box_plots", data.models[0]).to_pylist()
    (fliers,) = (row["fliers"] for row in rows if row["cosine"] == "in, out")
    assert fliers == pytest.approx([0.801, 0.801, 0.804])


def test_scatter_draws_the_borders_of_the_classes(known: Path) -> None:
    picture = render("scatter", FigureData(Handle(known), ["alpha"]), "svg").decode()
    dashed = [line for line in picture.splitlines() if "stroke-dasharray" in line]
    n_layers = len(query(known, "select distinct layer from neurons where model = 'alpha'"))
    assert len(dashed) >= 4 * n_layers


def test_roles_are_drawn_of_models_that_have_some(known: Path) -> None:
    everything = render("roles", FigureData(Handle(known)), "svg")
    assert everything == render("roles", FigureData(Handle(known), ["alpha"]), "svg")
    with pytest.raises(NotFoundError, match="nothing to draw of beta"):
        render("roles", FigureData(Handle(known), ["beta"]), "svg")


@pytest.mark.parametrize(
    ("models", "options", "refusal"),
    [
        (["alpha"], {}, "Which neuron is to be drawn"),
        ([], {"neuron": "28.4737"}, "Which model"),
        (["alpha", "beta"], {"neuron": "28.4737"}, "of one model"),
        (
            ["alpha"],
            {"neuron": "beta:0.0"},
            "is of beta, and the model asked for is alpha",
        ),
        ([], {"neuron": "beta:0.0"}, "beta has no activations yet"),
        (["alpha"], {"neuron": "28.4737", "corpus": "wab"}, "a corpus 'wab'"),
        (["beta"], {"neuron": "0.0"}, "beta has no activations yet"),
    ],
)
def test_a_neuron_that_cannot_be_drawn(
    known: Path, models: list[str], options: dict[str, str], refusal: str
) -> None:
    with pytest.raises((NotFoundError, UsageError), match=refusal):
        render("neuron", FigureData(Handle(known), models), "png", **options)


@pytest.mark.parametrize(("linear", "edge"), [(0.3, 1.9), (0.02, 80.0), (1.0, 1.0), (3e-5, 0.4)])
def test_ticks_of_post_are_round_and_apart(linear: float, edge: float) -> None:
    ticks = _ticks(linear, edge)
    assert len(ticks) >= 5
    assert ticks == sorted(-each for each in ticks)
    assert all(f"{abs(each):e}"[0] in "0125" and abs(each) <= edge for each in ticks)
    assert np.diff(np.arcsinh(np.array(ticks) / linear)).min() >= 0.19 * np.arcsinh(edge / linear)


def test_changes_in_training_take_two_steps_in_order(stepped: Path) -> None:
    data = FigureData(Handle(stepped))
    assert [model.step for model in data.models if model.series] == [5, 10]
    with pytest.raises(UsageError, match="not before"):
        render("flow", data, "svg", since=10, until=5)
    with pytest.raises(NotFoundError, match="a change takes two of its steps"):
        render("flow", data, "svg", since=10)


@pytest.mark.parametrize("name", OF_SERIES)
def test_one_step_is_no_change(tmp_path: Path, name: str) -> None:
    path = tmp_path / "single.duckdb"
    ensure_catalog(Handle(path))
    only = synthetic.entry("run@100", series="run", step=100)
    synthetic.load_weights(path, only, {"0.0": (0.1, 0.2, 0.7)})
    with pytest.raises(NotFoundError, match="a change takes two of its steps"):
        render(name, FigureData(Handle(path)), "svg")


def test_a_selection_without_neurons_is_refused(known: Path, layers: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing to draw of alpha"):
        render("scatter", FigureData(Handle(known), ["alpha"]), "png", layer=(99,))
    with pytest.raises(NotFoundError, match="nothing to draw of null"):
        render("scatter", FigureData(Handle(layers), ["null"]), "png")


def test_neurons_without_a_class_leave_the_bar_open(layers: Path) -> None:
    assert render("classes", FigureData(Handle(layers), ["null"]), "png")
    assert render("medians", FigureData(Handle(layers), ["null"]), "png")
    with pytest.raises(NotFoundError, match="nothing to draw"):
        render("cosines", FigureData(Handle(layers), ["null"]), "png")


def test_an_option_of_another_figure_is_refused(known: Path) -> None:
    with pytest.raises(UsageError, match="medians has no option threshold="):
        render("medians", FigureData(Handle(known)), "png", threshold=0.4)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("median", "--output", "x.png"), 3, "Did you mean medians"),
        (("medians", "--output", "x.jpg"), 2, "must end in .png, .svg, .pdf"),
        (("medians", "--output", "nowhere/x.png"), 2, "The folder nowhere does not exist"),
        (("medians", "--output", "x.png", "--model", "alpa"), 3, "Did you mean alpha?"),
        (("definition", "--output", "x.png", "--model", "alpa"), 3, "Did you mean alpha?"),
        (("classes", "--output", "x.png", "--threshold", "2"), 2, "0<=x<=1"),
        (
            ("medians", "--output", "x.png", "--threshold", "0.4"),
            2,
            "medians has no option --threshold.",
        ),
    ],
)
def test_what_plot_refuses(
    known: Path,
    cli: Callable[..., Answer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cli("plot", *arguments, "--db", known)
    assert answer.code == code
    assert message in answer.err
    assert list(tmp_path.iterdir()) == []


def test_plot_writes_the_file_and_says_so(
    known: Path, cli: Callable[..., Answer], tmp_path: Path
) -> None:
    output = tmp_path / "figure.svg"
    answer = cli("plot", "classes", "--threshold", "0.3", "--output", output, "--db", known)
    assert (answer.code, answer.out) == (0, "")
    assert "threshold 0.3" in output.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


def test_a_figure_without_data_needs_no_catalog(tmp_path: Path) -> None:
    assert render("definition", FigureData(Handle(tmp_path / "none.duckdb")), "png")
    assert render("swiglu", FigureData(Handle(tmp_path / "none.duckdb")), "png")


def test_help_does_not_import_matplotlib() -> None:
    code = "import sys; from catalog.cli.main import run; run(['plot', '--help']); "
    assert python(code + "print('matplotlib' in sys.modules)").endswith("False\n")


@pytest.mark.parametrize("vision", [None, *CONES_MISSING])
def test_classes_differ_in_colour_for_everyone(vision: str | None) -> None:
    assert tuple(CLASS_COLOURS) == IO_CLASSES
    seen = [_lab(to_rgb(colour), vision) for colour in CLASS_COLOURS.values()]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 10  # CIE76; 2.3 is just noticeable


def _lab(rgb: tuple[float, ...], vision: str | None) -> np.ndarray:
    value = np.asarray(rgb)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    if vision:
        linear = np.clip(np.asarray(CONES_MISSING[vision]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.asarray(to_xyz) @ linear / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
