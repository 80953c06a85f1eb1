"""The package in one process with PyTorch, before and after it was imported, on demo-output in this folder."""

import sys

import gradient_filters as gf

run = gf.open("demo-output/aggregates.ts")
import torch  # noqa: E402

sizes = torch.linalg.svdvals(torch.randn(300, 300))
assert torch.isfinite(sizes).all()
table = run.table(top=3, frame="numpy")
assert len(table) == 12
gradients = torch.from_numpy(next(gf.records("demo-output/sae-gradients.ts"))["grad.mlp_out.3"].copy())
assert torch.isfinite(gradients @ gradients.T).all()
assert "gradient_filters" in sys.modules and gf.__version__
