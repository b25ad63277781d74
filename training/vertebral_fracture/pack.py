"""The pack as Python sees it: model.json and backbone.onnx, from crops to the chances of the classes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .crops import mask_of
from .features import deep_of
from .radiomics import radiomics_of

FOLDER = Path(__file__).parents[2] / "models" / "vertebral-fracture"


@dataclass(frozen=True)
class Answer:
    radiomics: list  # of each crop, every feature by name
    deep: np.ndarray
    logits: np.ndarray
    probability: np.ndarray
    hollow: np.ndarray  # share of the height missing at the middle
    unlikeness: np.ndarray  # mean of the squared z values of the chosen features


class Pack:
    def __init__(self, folder=FOLDER):
        self.backbone = Path(folder) / "backbone.onnx"
        self.model = json.loads((Path(folder) / "model.json").read_text())
        found = hashlib.sha256(self.backbone.read_bytes()).hexdigest()
        if found != self.model["hashes"]["backbone"]:
            raise ValueError("model.json was fitted on the features of another backbone")

    def read(self, crops, corners):
        masks = np.stack([mask_of(four) for four in corners])
        names, values, _ = radiomics_of(crops, masks)
        radiomics = [dict(zip(names, row, strict=True)) for row in values.tolist()]
        deep = deep_of(np.asarray(crops, np.float32), self.backbone)
        columns = []
        for feature in self.model["features"]:
            name = feature["name"]
            raw = [row[name] for row in radiomics] if feature["source"] == "radiomics" else deep[:, int(name)]
            columns.append((np.array(raw, float) - feature["mean"]) / feature["sd"])
        z = np.stack(columns, 1)
        weights = np.array([feature["coefficients"] for feature in self.model["features"]])
        logits = z @ weights + np.array(self.model["intercepts"])
        power = np.exp(logits - logits.max(1, keepdims=True))
        hollow = deep @ np.array(self.model["hollow"]["weights"]) + self.model["hollow"]["intercept"]
        return Answer(radiomics, deep, logits, power / power.sum(1, keepdims=True), hollow, (z**2).mean(1))
