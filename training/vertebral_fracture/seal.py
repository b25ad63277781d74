"""Brings the pack's manifest up to its own network and to the corner network that it borrows.

python -m training.vertebral_fracture.seal
"""

import argparse
import hashlib
import json
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"
PACK = MODELS / "vertebral-fracture"


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    path = PACK / "manifest.json"
    manifest = json.loads(path.read_text())
    own, lender = manifest["networks"]["backbone"]["weights"], manifest["networks"]["corners"]["from"]
    data = (PACK / own["file"]).read_bytes()
    own |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    lent = json.loads((MODELS / lender["pack"] / "manifest.json").read_text())["weights"]
    lender["sha256"] = lent["sha256"]
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    print(f"{path.name}: own network {own['sha256'][:8]}, corners from {lender['pack']} {lender['sha256'][:8]}")


if __name__ == "__main__":
    main()
