"""How fast a base is written at each level, against peers in the same run.

    python bench/quantize.py [--made-mb 400] [--levels F16 Q8_0 Q6_K Q4_K_M] [--repeat 3]

Writes a made base of about that many megabytes of bfloat16 numbers, whose rows fit K-quant blocks, as GGUF at each
level, and prints how much of it is read and written in a second, medians. Next to each the peer: for F16 a plain write
of as many bytes; for Q8_0 the ``gguf`` package's own quantising of the same tensors, on one thread as it has it; for
levels with a K llama.cpp's ``llama-quantize``, from a 16-bit file, where it is on PATH. A ratio above 1 means that ours is
faster. Importance is random: what it says does not change how long it takes.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
sys.path[:0] = [str(BENCH), str(BENCH.parent / "tests")]

from dlm.adapters.gguf.encoding import widened
from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.adapters.llama_quantize import LlamaQuantizeProgram
from gguf_convert import made_base, small_base, timed, write_plainly
from gguf_levels import write_level

LEVELS = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
