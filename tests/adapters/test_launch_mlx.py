"""A base and an adapter served by MLX's own server through the written script."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from base_gguf import weights
from base_made import HIDDEN, config, model_files, write_model
from dlm.adapters.servers.launch_client import LaunchClient
from dlm.adapters.servers.process import free_port, start
from dlm.domain.launch_scripts import MLX_MODEL, mlx_script
from launched import BASH

pytestmark = [
    pytest.mark.skipif(BASH is None, reason="launch scripts need bash"),
    pytest.mark.skipif(importlib.util.find_spec("mlx_lm") is None, reason="needs mlx-lm"),
]
pytest.importorskip("mlx.core")


def write_adapter(folder: Path) -> None:
    from safetensors.numpy import save_file

    random = np.random.default_rng(1)
    at = "model.layers.1.self_attn.q_proj"
    tensors = {f"{at}.lora_a": random.standard_normal((HIDDEN, 4)), f"{at}.lora_b": random.standard_normal((4, HIDDEN))}
    folder.mkdir()
    save_file({name: values.astype(np.float32) for name, values in tensors.items()}, folder / "adapters.safetensors")
    lora = {"rank": 4, "scale": 64.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    settings = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": lora}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")


def test_the_adapter_answers_under_its_name_and_the_base_under_every_other(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    export = tmp_path / "it's an export"
    base = write_model(export / "the base", model_files(config_json=config(rms_norm_eps=1e-5)))
    save_file(weights(), base / "model.safetensors")
    write_adapter(export / "adapter")
    script = export / "mlx_serve_launch.sh"
    script.write_text(mlx_script(model=str(base), revision=None, adapter="adapter", template=None), encoding="utf-8")
    # A home in which nothing was ever downloaded.
    environ = {**os.environ, "DLM_PYTHON": sys.executable, "HF_HOME": str(tmp_path / "hub")}
    port = free_port()
    argv = [str(BASH), str(script), "--port", str(port)]
    with start(argv, environ) as server, LaunchClient(port, None, server) as client:
        listed = client.wait_for_models(60.0)
        assert listed == (str(base),)
        adapted, plain = (client.ask("Hello.", model, answer_s=60.0) for model in (MLX_MODEL, *listed))
    assert adapted != plain
