"""Spines that do not count to five: transitional vertebrae at the sacrum, six or four lumbar vertebrae.

Names follow the count from the sacrum's first fixed segment, whatever an embryologist would call the bone: a
sacralised L5 is the film's S1, a lumbarised S1 is the film's L5. The film declares its variant, so that an evaluation
can ask whether the reader said that the levels are uncertain.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Variant:
    kind: str = "usual"
    lowest_rib: str = "T12"  # the lowest vertebra with ribs, in this film's names
    crest_shift: int = 0  # levels by which the iliac crests stand higher (+) or lower (-) in this film's names
    squareness: float = 0.0  # 0: S1 narrows as a sacrum, 1: square as a lumbar body
    remnant_disc: float = None  # mm below S1; None: drawn as usual
    wings: str = None  # the body whose transverse processes are as wide as a sacral wing


USUAL = Variant()
KINDS = ("usual", "sacralised", "lumbarised", "six lumbar", "four lumbar")
TRANSITIONAL = ("sacralised", "lumbarised")


def draw_variant(rng, chance):
    """`chance` is that of any variant; transitional vertebrae are the commoner half, as in patients."""
    if rng.uniform() > chance:
        return USUAL
    return make_variant(str(rng.choice(KINDS[1:], p=[0.36, 0.34, 0.17, 0.13])), rng)


def make_variant(kind, rng):
    if kind == "sacralised":
        return Variant(kind, "L1", -1, rng.uniform(0.55, 1), rng.uniform(1.5, 4.5), "S1")
    if kind == "lumbarised":
        return Variant(kind, "T11", 1, rng.uniform(0, 0.3), None, "L5")
    if kind == "six lumbar":
        return Variant(kind, "T11", int(rng.integers(0, 2)))
    if kind == "four lumbar":
        return Variant(kind, "L1", -int(rng.integers(0, 2)))
    return USUAL


def remnant_disc(variant, rng):
    """Height of the disc below S1 in mm; now and then as open as a true one, though S1 is fixed."""
    if variant.remnant_disc is not None:
        return variant.remnant_disc
    return float(rng.uniform(3.0, 6.5) if rng.uniform() < 0.2 else np.clip(rng.gamma(2.2, 0.8), 0.4, 4.5))
