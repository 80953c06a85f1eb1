"""Lets the libraries of sparse autoencoders be imported where only they themselves are installed.

    pip install --no-deps sae-lens==6.54.12 dictionary-learning==0.1.0 eai-sparsify==1.3.3
    pip install einops simple-parsing requests tenacity natsort jaxtyping pyyaml

They import plotting, logging and data sets at the top, which what is done with them here never calls.
"""

import importlib.abc
import importlib.machinery
import sys
from unittest.mock import MagicMock

import torch


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    NAMES = {"transformer_lens", "datasets", "schedulefree", "accelerate", "transformers", "wandb", "nnsight", "babe",
             "dotenv", "nltk", "plotly", "bitsandbytes", "pandas", "tqdm", "pydantic"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.NAMES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module):
        if module.__name__ == "transformer_lens.hook_points":
            module.HookPoint = torch.nn.Identity
        if module.__name__ == "transformer_lens.HookedTransformer":
            module.HookedRootModule = type("HookedRootModule", (torch.nn.Module,), {"setup": lambda self: None})


# Behind what is really there.
sys.meta_path.append(StandIns())
