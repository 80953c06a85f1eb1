"""Names of places in a model."""

from __future__ import annotations

import re

SITES = ["resid_pre", "attn_z", "attn_out", "resid_mid", "mlp_out", "resid_post"]
_PLACE = re.compile(rf"(?:{'|'.join(SITES)})\.(?:0|[1-9][0-9]{{0,3}})")


def is_place(text: str) -> bool:
    """Whether it is the name of a place, such as "mlp_out.11"."""
    return _PLACE.fullmatch(text) is not None
