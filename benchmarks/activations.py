"""The activation pass against the bare forward pass of the same model, interleaved in one run.

    python benchmarks/activations.py                 CPU, d_model 256, 576, 768 and 2048
    python benchmarks/activations.py --sizes 256 --kernel plain --clock cpu
    python benchmarks/activations.py --device cuda   OLMo-7B's shape in bfloat16, few layers
    python benchmarks/activations.py --device cuda --batch 16 --whole 2000000
                                                     all 32 layers, as an ingest runs them

Random weights in Llama's architecture, float32 on the CPU, contexts of one length, no logits.
The early phase, in which the top-k fills, is timed over the first contexts; then every floor is
raised to the best context so far, which is where it stands in a run k times as long, and the steady
state is timed. `--whole` runs a corpus of so many tokens through `read_units`, with read-ahead and
saving, and says what bounds it: the rate of arithmetic of the bare pass beside that of one large
matrix product in the same dtype. `--clock cpu` counts the CPU time of one thread instead of wall
time: it is the one to trust on a machine that others use.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from catalog.ingest.activations.contexts import CountingRule, draw_samples, plan_units, read_batch
from catalog.ingest.activations.hooks import find_mlps
from catalog.ingest.activations.kernel import KERNELS, Kernel
from catalog.ingest.activations.run import (
    ActivationPass,
    Recorder,
    UnitDone,
    forward,
    read_units,
    recording,
    synchronise,
)
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.families import FAMILIES

K = 16
D_VOCAB = 1000
SAVE_EVERY_S = 180.0


class Shape(NamedTuple):
    d_model: int
    d_mlp: int
    n_layers: int
    head_dim: int


CPU_SHAPES = {
    256: Shape(256, 1024, 4, 64),
    576: Shape(576, 1536, 4, 64),
    768: Shape(768, 3072, 3, 64),
    2048: Shape(2048, 8192, 2, 64),
}
OLMO_7B = Shape(4096, 11008, 4, 128)
OLMO_7B_LAYERS = 32


class RandomContexts:
    def __init__(self, n: int, length: int) -> None:
        self.ids = np.random.default_rng(0).integers(1, D_VOCAB, (n, length), dtype=np.int32)
        self.ids[:, 0] = 0
        self.lengths = np.full(n, length, np.int32)
        self.next_token_ids = np.full(n, -1, np.int32)

    def tokens(
        self, context_ids: Iterable[int]
    ) -> list[np.ndarray[tuple[int], np.dtype[np.int32]]]:
        return [self.ids[i] for i in context_ids]


def build(shape: Shape, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    from transformers import AutoModel, LlamaConfig

    config = LlamaConfig(
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.d_model // shape.head_dim,
        vocab_size=D_VOCAB,
        max_position_embeddings=4096,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    with device:
        model: PreTrainedModel = AutoModel.from_config(config, dtype=dtype)
    model.eval()
    return model


def make_work(
    model: PreTrainedModel, reader: RandomContexts, kernel: Kernel, tokens_per_batch: int
) -> ActivationPass:
    rule = CountingRule((0,), skip_first=True)
    samples = draw_samples(reader, rule, seed=0)
    mlps = find_mlps(model, FAMILIES["llama"], model.config.num_hidden_layers)
    parameter = next(model.parameters())
    plan = PassPlan(
        "random",
        "random",
        len(mlps),
        model.config.intermediate_size,
        K,
        len(samples.positions),
        tokens_per_batch,
        0,
        "excluded",
        str(parameter.dtype).removeprefix("torch."),
        parameter.device.type,
        kernel.name,
    )
    units = plan_units(reader.lengths, tokens_per_batch)
    return ActivationPass(model, mlps, reader, units, samples, rule, kernel, plan)


def fill_top_k(state: ActivationState) -> None:
    """Set every rank to the best context so far: after c contexts a new one then enters a list with
    the probability 1 / (c + 1), as it does in a run that has seen k * (c + 1)."""
    state.key[:] = state.key[..., :1].clone()


class Ratios(NamedTuple):
    """The pass over the bare forward pass: while lists fill, and later."""

    early: float
    later: float


def bench(work: ActivationPass, n_early: int, rounds: int, clock: Callable[[], float]) -> Ratios:
    state = ActivationState.empty(work.plan, work.device)
    recorder = Recorder(work, state)
    batches = [read_batch(work.reader, u, work.rule).to(work.device) for u in work.units]

    def timed(i: int, tapped: bool) -> float:
        synchronise(work.device)
        start = clock()
        with torch.inference_mode(), recording(work, recorder) if tapped else nullcontext():
            forward(work, recorder, batches[i])
        synchronise(work.device)
        return clock() - start

    timed(0, False)
    n_tokens = work.units[0].n_slots
    bare, early = [], []
    for i in range(n_early):
        bare.append(timed(i, False))
        early.append(timed(i, True))
    filling = sum(early) / sum(bare)
    print(
        f"  early: first {n_early * n_tokens} tokens {filling:.3f}x (first batch "
        f"{early[0] / bare[0]:.2f}x, last {early[-1] / bare[-1]:.2f}x)",
        flush=True,
    )
    fill_top_k(state)
    bare, tapped = [], []
    for i in range(n_early, n_early + rounds):
        bare.append(timed(i, False))
        tapped.append(timed(i, True))
    pairs = statistics.median(t / b for t, b in zip(tapped, bare, strict=True))
    seconds = statistics.median(tapped)
    print(
        f"  as after {n_early * n_tokens * K} tokens: medians "
        f"{seconds / statistics.median(bare):.3f}x, median of pairs {pairs:.3f}x, "
        f"minima {min(tapped) / min(bare):.3f}x; {n_tokens / seconds:.0f} tokens/s, "
        f"state {state.mb:.0f} MB",
        flush=True,
    )
    if work.device.type == "cuda":
        whole = seconds / n_tokens * OLMO_7B_LAYERS / work.plan.n_layers
        print(
            f"  {OLMO_7B_LAYERS} layers: {1 / whole:.0f} tokens/s, 20M tokens in "
            f"{20e6 * whole / 60:.1f} min; peak memory "
            f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB with {work.plan.n_layers} layers"
        )
    return Ratios(filling, pairs)


def product_rate(dtype: torch.dtype, device: torch.device, n: int) -> float:
    """Floating-point operations a second of a product of two [n, n] matrices, the best of ten."""
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    seconds = []
    for _ in range(10):
        synchronise(device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)


def operations_per_token(model: nn.Module, context_length: int) -> float:
    """Of the forward pass: every linear weight once, and causal attention on average half full."""
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    attention = (
        2
        * context_length
        * sum(m.out_features for name, m in model.named_modules() if name.endswith("q_proj"))
    )
    return float(2 * sum(m.weight.numel() for m in linear) + attention)


def read_saving(
    work: ActivationPass, state: ActivationState, saved: Path, until: float = math.inf
) -> list[UnitDone]:
    """Bring units into the state as an ingest does, until that moment of the monotonic clock."""
    moments: list[UnitDone] = []
    last_saved = time.monotonic()
    todo = [unit for unit in range(len(work.units)) if unit not in state.units]
    with closing(read_units(work, state, todo)) as reading:
        while time.monotonic() < until and (done := next(reading, None)) is not None:
            moments.append(done)
            if time.monotonic() - last_saved >= SAVE_EVERY_S:
                state.save(saved)
                last_saved = time.monotonic()
    state.save(saved)
    synchronise(work.device)
    return moments


def bare_tokens_per_second(work: ActivationPass) -> float:
    """Of the model's own forward pass over the first unit, padding included."""
    batch = read_batch(work.reader, work.units[0], work.rule).to(work.device)
    seconds = []
    for _ in range(6):
        synchronise(work.device)
        start = time.perf_counter()
        with torch.inference_mode():
            work.model(input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False)
        synchronise(work.device)
        seconds.append(time.perf_counter() - start)
    return work.units[0].n_slots / statistics.median(seconds[1:])


def bench_whole(work: ActivationPass, shape: Shape, saved: Path) -> None:
    units, device = work.units, work.device
    bare_rate = bare_tokens_per_second(work)
    state = ActivationState.empty(work.plan, device)
    moments = read_saving(work, state, saved)
    total, half = moments[-1], moments[len(moments) // 2]
    late = (total.n_tokens - half.n_tokens) / (total.seconds - half.seconds)
    dtype = next(work.model.parameters()).dtype
    operations = operations_per_token(work.model, units[0].padded_length)
    peak = product_rate(dtype, device, 8192 if device.type == "cuda" else 2048)
    print(
        f"  bare pass {bare_rate:.0f} tokens/s, {bare_rate * operations / 1e12:.2f} TFLOP/s = "
        f"{bare_rate * operations / peak:.0%} of one matrix product's {peak / 1e12:.2f}\n"
        f"  read_units {total.n_tokens} tokens in {total.seconds:.1f} s; second half {late:.0f} "
        f"tokens/s, {bare_rate / late:.3f}x the bare pass\n"
        f"  20M tokens in {(total.seconds + (20e6 - total.n_tokens) / late) / 60:.1f} min at "
        f"{shape.n_layers} layers; state {state.mb:.0f} MB",
        flush=True,
    )
    if device.type == "cuda":
        print(f"  peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=list(CPU_SHAPES))
    parser.add_argument("--d-mlp", type=int, help="instead of 4 * d_model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kernel", choices=tuple(KERNELS), help="as an ingest chooses")
    parser.add_argument("--context-length", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4, help="contexts per batch")
    parser.add_argument("--early", type=int, default=30, help="batches of the early phase")
    parser.add_argument("--layers", type=int, help="instead of the shape's")
    parser.add_argument("--whole", type=int, metavar="TOKENS", help="an ordinary run over so many")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    args = parser.parse_args()
    if args.threads or args.clock == "cpu":
        torch.set_num_threads(args.threads or 1)
    clock = time.thread_time if args.clock == "cpu" else time.perf_counter
    device = torch.device(args.device)
    cuda = device.type == "cuda"
    shapes = [OLMO_7B] if cuda else [CPU_SHAPES[d] for d in args.sizes]
    n_layers = args.layers or (OLMO_7B_LAYERS if cuda and args.whole else None)
    shapes = [
        shape._replace(d_mlp=args.d_mlp or shape.d_mlp, n_layers=n_layers or shape.n_layers)
        for shape in shapes
    ]
    dtype = torch.bfloat16 if cuda else torch.float32
    for shape in shapes:
        start = time.perf_counter()
        name = args.kernel or ("compiled" if cuda else "fused")
        kernel = KERNELS[name](shape.d_mlp, FAMILIES["llama"].mlp, dtype, device)
        seconds = time.perf_counter() - start
        print(f"{shape}: {kernel.name} {kernel.reason}, {seconds:.1f} s", flush=True)
        n_contexts = (args.early + args.rounds) * args.batch
        if args.whole:
            n_contexts = -(-args.whole // args.context_length)
        reader = RandomContexts(n_contexts, args.context_length)
        model = build(shape, dtype, device)
        work = make_work(model, reader, kernel, args.batch * args.context_length)
        if args.whole:
            with TemporaryDirectory() as folder:
                bench_whole(work, shape, Path(folder) / "state.safetensors")
        else:
            bench(work, args.early, args.rounds, clock)


if __name__ == "__main__":
    main()
