"""Measure bytes per token of Q, K and V against relation KL: what the cache stores, and what else could be stored.

    python benchmarks/rate_distortion.py --teacher DIR --corpus FILES [--input-length 256] [--mean-noise-span-length 3]
        [--examples 256] [--sites encoder.self,decoder.self,decoder.cross] [--targets 1e-2,3e-3,1e-3,3e-4] [--quick]

Bases, steps and scales come from one half of the examples, KL and bytes from the other. KL is the project's own. We search each
method's only parameter until the mean over QQ, KK and VV, or QK if that is greater, is the target at the default number of heads.
Bases are not counted; offsets and scales that go with every token are. For decoder.cross the rate is both columns together per
input token.
"""

import argparse
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rate_methods import METHODS, QUICK, Material
from torch import Tensor

from miniend.signals.codes.site_fit import trim_rank
from miniend.signals.fidelity import SiteSample
from miniend.signals.kinds import kind_of
from miniend.signals.relations.calibration import calibrate_site
from miniend.signals.relations.relations import default_relation_heads
from miniend.signals.sites import Site
from miniend.storage.columns.columns import Column, read_column, write_column
from miniend.teacher_dump.calibration.calibrate import planned_sites
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.prepare import open_sources, prepare_examples
from miniend.teacher_dump.shards.batches import batches_of, run_teacher
from miniend.teacher_dump.worker import Worker


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--field", default="text")
    parser.add_argument("--input-length", type=int, default=256)
    parser.add_argument("--mean-noise-span-length", type=float, default=3.0)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--kl-examples", type=int, default=24)
    parser.add_argument("--sites", default="encoder.self,decoder.self,decoder.cross")
    parser.add_argument("--targets", default="1e-2,3e-3,1e-3,3e-4")
    parser.add_argument("--relation-temperature", default="calibrated")
    parser.add_argument("--quick", action="store_true", help="only the yardstick and the cache's own code")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(f"{platform.machine()}, 1 thread, torch {torch.__version__}; {asked.examples} examples, half for fitting")
    with TemporaryDirectory() as folder:
        samples = teacher_samples(asked, Path(folder))
    targets = [float(target) for target in asked.targets.split(",")]
    for site, batches in samples.items():
        half = len(batches) // 2
        report(asked, site, batches[:half], batches[half:], targets)


def teacher_samples(asked: argparse.Namespace, folder: Path) -> dict[Site, list[SiteSample]]:
    """Return batches of 16 examples per site, from the teacher's forward over a planned dump's training examples."""
    config = DumpConfig(
        teacher=asked.teacher,
        corpus=(asked.corpus,),
        field=(asked.field,),
        cache=folder / "cache",
        examples=asked.examples,
        validation_examples=0,
        input_length=asked.input_length,
        mean_noise_span_length=asked.mean_noise_span_length,
        signals=asked.sites,
        device="cpu",
        threads=1,
    )
    sources = open_sources(config, Worker())
    teacher = sources.teacher
    plan, source = prepare_examples(config, sources)
    sites = planned_sites(plan)
    found: dict[Site, list[SiteSample]] = {site: [] for site in sites}
    for examples in batches_of(source, "train", 0, asked.examples, 16):
        with ExitStack() as stack:
            extra = {site: stack.enter_context(layer_inputs(teacher.model, site)) for site in sites}
            batch = run_teacher(teacher, examples, sites)
        for site in sites:
            sample = batch.sample(site)
            found[site].append(replace(sample, tensors={**sample.tensors, **extra[site]}))
    return found


@contextmanager
def layer_inputs(model: Any, site: Site) -> Iterator[dict[str, Tensor]]:
    """Collects what q and k are given, `KIND_input` [B, length, d_model], and `KIND_weight` [B, inner, d_model]."""
    found: dict[str, Tensor] = {}

    def keep(kind: str, linear: Any, states: Tensor) -> None:
        found[f"{kind}_input"] = states.float()
        found[f"{kind}_weight"] = linear.weight.float().expand(len(states), -1, -1)

    hooks = [
        module.register_forward_hook(lambda m, given, _out, name=name: keep(name, m, given[0]))
        for name, module in kind_of(site).modules(model, site).items()
    ]
    yield found
    for hook in hooks:
        hook.remove()


def report(
    asked: argparse.Namespace,
    site: Site,
    fitting: Sequence[SiteSample],
    unseen: Sequence[SiteSample],
    targets: Sequence[float],
) -> None:
    """Print one site's table."""
    heads = default_relation_heads(fitting[0].tensors["query"].shape[-1])
    codec = calibrate_site(
        site, kind_of(site).places(site), fitting, fitting[:1], heads, asked.relation_temperature, None, 1e-3, None
    )
    material = Material(codec, fitting, unseen, asked.kl_examples)
    print(
        f"\n{site}: R = {heads}, inverse temperature "
        + ", ".join(f"{kind} {factor:.3g}" for kind, factor in codec.inverse_temperature.items())
    )
    print(f"{'bytes per token at KL':<58}" + "".join(f"{target:>10.0e}" for target in targets))
    for name, method in METHODS.items():
        if asked.quick and name not in QUICK:
            continue
        curve = method(material)
        cells = []
        for target in targets:
            rate = curve(target)
            cells.append(f"{rate:10.2f}" if rate is not None else f"{'-':>10}")
        print(f"{name:<58}" + "".join(cells), flush=True)
    print(throughput(material, targets[-1]))


def throughput(material: Material, target: float) -> str:
    """Return the tokens per second on one core: rows to integers, integers to a column's file, and both ways back."""
    codec = trim_rank(material.at(material.fit("full", True, True), target), material.fitting)
    seconds = dict.fromkeys(("quantize", "compress", "decompress", "decode"), 0.0)
    codec.encode(material.unseen[0])
    begun = perf_counter()
    columns = [codec.encode(sample) for sample in material.unseen]
    seconds["quantize"] = perf_counter() - begun
    tokens = 0
    with TemporaryDirectory() as folder:
        for name, place in codec.columns.items():
            values = torch.cat([part[name] for part in columns], dim=1).numpy()
            tokens += values.shape[1]
            begun = perf_counter()
            write_column(Path(folder), name, Column(values=values, axis=place.axis), "pcodec")
            seconds["compress"] += perf_counter() - begun
            begun = perf_counter()
            stored = read_column(Path(folder), name)
            seconds["decompress"] += perf_counter() - begun
            ids = torch.cat([sample.tokens[place.axis][sample.valid[place.axis]] for sample in material.unseen])
            integers = torch.from_numpy(np.ascontiguousarray(stored.T.astype(np.int16)))
            begun = perf_counter()
            codec.codes[place.name].decode(integers, ids)
            seconds["decode"] += perf_counter() - begun
    speeds = ", ".join(f"{name} {tokens / spent:,.0f}" for name, spent in seconds.items())
    return f"tokens per second and core: {speeds}"


if __name__ == "__main__":
    main()
