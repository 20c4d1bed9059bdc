"""How fast a base is written at each level, next to peers in the same run.

    python bench/quantize.py [--made-mb 200] [--levels F16 BF16 Q8_0 Q6_K Q5_K_M Q4_K_M] [--repeat 3] [--folder FOLDER]

Writes a made base of about that many megabytes of bfloat16 numbers, whose rows fit K-quant blocks, as GGUF at each
level, K-quants with an importance matrix; prints how much of the base is read and how much of the file is written in a
second, by the median time. Next to each stands a peer:

- F16, BF16: a plain write of as many bytes to the same disk.
- Q8_0: the ``gguf`` package's own quantising of the same numbers in memory, without reading or writing.
- with a K: ``llama-quantize`` from a 16-bit file, where it is on PATH.

A ratio above 1 says that ours is as many times as fast. Random numbers take as long as real ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.planning import plan_tensors, quant_types
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.llama_quantize import LlamaQuantizeProgram
from dlm.domain.quantization import QUANTS
from gguf_convert import made_base, small_base, timed, write_plainly
from gguf_levels import write_level

LEVELS = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    args = _arguments(argv)
    program = LlamaQuantizeProgram(os.environ)
    if program.missing():
        print(f"no peer for levels with a K: {program.missing()}")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        base = made_base(folder / "base", args.made_mb, small_base(folder))
        config = json.loads((base / "config.json").read_bytes())
        matrix = _random_matrix(base, config, folder / "imatrix.gguf")
        for level in args.levels:
            _measure(base, config, level, matrix, folder, args.repeat, program)
    return 0


def _measure(
    base: Path,
    config: dict[str, Any],
    level: Any,
    matrix: Path,
    folder: Path,
    repeat: int,
    program: LlamaQuantizeProgram,
) -> None:
    """Measure ours and the peer by turns, and print a line."""
    out = folder / "out.gguf"
    importance = matrix if QUANTS[level].uses_importance else None
    ours, peers = [], []
    for _ in range(repeat):
        ours.append(timed(lambda: write_level(base, config, out, level, importance), out))
        size = out.stat().st_size
        found = _peer(base, config, level, out, importance, program)
        if found:
            peers.append(found[1])
    seconds, read = statistics.median(ours), (base / "model.safetensors").stat().st_size
    line = f"{level:<7}{size / 1e6:6.0f} MB in {seconds:6.2f} s: {read / seconds / 1e9:5.2f} GB/s of weights read"
    line += f", {size / seconds / 1e6:5.0f} MB/s written"
    if found:
        peer = statistics.median(peers)
        line += f"; {found[0]} {peer:.2f} s, ratio {peer / seconds:.2f}"
    print(line, flush=True)


def _peer(
    base: Path, config: dict[str, Any], level: Any, out: Path, importance: Path | None, program: LlamaQuantizeProgram
) -> tuple[str, float] | None:
    """Give the name of the peer of a level and its seconds; None when it is not here."""
    if level in ("F16", "BF16"):
        data = out.read_bytes()
        return "plain write", timed(lambda: write_plainly(out, data), out)
    if level == "Q8_0":
        return "gguf package", _seconds_of_package(base, config)
    if program.missing():
        return None
    wide = out.with_name("wide.gguf")
    write_level(base, config, wide, "BF16", None)
    return program.name, timed(lambda: program.quantize_file(wide, out, quant=level, importance=importance), out)


def _seconds_of_package(base: Path, config: dict[str, Any]) -> float:
    """Give how long the package quantises the matrices of the base, one after another."""
    weights, architecture = SafetensorsWeights(base), architecture_of(config)
    tensors = plan_tensors(weights, architecture)
    types = quant_types(tensors, architecture, "Q8_0")
    seconds = 0.0
    for tensor in tensors:
        if types[tensor.name] == "Q8_0":
            values = weights.read(tensor.sources[0])
            start = time.perf_counter()
            gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            seconds += time.perf_counter() - start
    return seconds


def _random_matrix(base: Path, config: dict[str, Any], into: Path) -> Path:
    """Write an importance matrix for all layers."""
    writer = gguf.GGUFWriter(into, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["random"])
    writer.add_uint32("imatrix.chunk_count", 256)
    writer.add_uint32("imatrix.chunk_size", 512)
    random = np.random.default_rng(0)
    for tensor in plan_tensors(SafetensorsWeights(base), architecture_of(config)):
        if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
            squares = random.lognormal(size=(1, tensor.shape[-1])).astype(np.float32)
            writer.add_tensor(f"{tensor.name}.in_sum2", squares)
            writer.add_tensor(f"{tensor.name}.counts", np.full((1, 1), 131072, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return into


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--made-mb", type=int, default=200, help="size of the made base (200)")
    parser.add_argument("--levels", nargs="+", default=LEVELS, choices=LEVELS, help="levels to write (all)")
    parser.add_argument("--repeat", type=int, default=3, help="times each is measured (3)")
    parser.add_argument("--folder", type=Path, help="where to write; its disk is measured (a temporary folder)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
