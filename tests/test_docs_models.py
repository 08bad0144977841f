"""docs/models.md against the params that the code reads."""

import re
from pathlib import Path
from textwrap import dedent

import yaml

from mmoe.config import TrainConfig
from mmoe.errors import ConfigError
from mmoe.model_config import ModelConfig
from mmoe.parsing import parse

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text()


def test_the_params_for_a_small_log_are_read_with_each_of_the_experts_beside():
    section = PAGE.split("## A small log")[1].split("\n## ")[0]
    block = dedent("\n".join(line for line in section.splitlines() if line.startswith("    ")))
    params = yaml.safe_load(block)
    beside = [yaml.safe_load(found) for found in re.findall(r"^ *# (\{kind: .*\})$", block, re.MULTILINE)]
    kinds = []
    for expert in (*params["model"]["experts"], *beside):
        model = parse(ModelConfig, params["model"] | {"experts": [expert]}, "docs/models.md", ConfigError)
        kinds.append(model.experts[0].kind)
    assert sorted(kinds) == ["dcnv2", "finalmlp", "masknet", "mlp"]
    parse(TrainConfig, params["train"], "docs/models.md", ConfigError)
