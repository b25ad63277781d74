"""Exports torchvision's ResNet-18 with a map as second output, and holds ONNX Runtime's map against autograd Grad-CAM.

python -m training.cam.check            prints the differences; fails beyond 4e-6
python -m training.cam.check --fixture  writes the tiny net of the TypeScript test as well
Weights are random: what is checked is arithmetic, which does not depend on them.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torchvision.models import resnet18

from .one_pass import WithMap, grad_cam

LIMIT = 4e-6
FIXTURES = Path(__file__).parents[2] / "test" / "fixtures" / "onnx"


def exported(model: nn.Module, image: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.onnx.export(
        model, (image,), buffer, input_names=["image"], output_names=["logits", "cam"],
        dynamic_axes={name: {0: "n"} for name in ("image", "logits", "cam")}, opset_version=17, dynamo=False,
    )
    return buffer.getvalue()


def check(name: str, model: WithMap, image: torch.Tensor) -> tuple[bytes, float]:
    model.eval()
    graph = exported(model, image)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    logits, cam = session.run(["logits", "cam"], {"image": image.numpy()})
    places = cam.shape[2] * cam.shape[3]
    worst = 0.0
    for label in range(logits.shape[1]):
        wanted = grad_cam(model, image, label).numpy()
        found = np.maximum(cam[:, label], 0) / places
        scale = np.abs(wanted).max()
        if scale > 0:
            worst = max(worst, float(np.abs(found - wanted).max() / scale))
    mean_check = float(np.abs(cam.mean(axis=(2, 3)) + model.head.bias.detach().numpy() - logits).max() / np.abs(logits).max())
    verdict = "ok" if worst <= LIMIT and mean_check <= LIMIT else "TOO FAR"
    print(f"{name}: {logits.shape[1]} classes, {cam.shape[2]} x {cam.shape[3]} places; "
          f"map against autograd {worst:.1e}, mean(map) + b against logit {mean_check:.1e} (relative, limit {LIMIT:.0e}) {verdict}")
    return graph, max(worst, mean_check)


def big() -> WithMap:
    net = resnet18(weights=None, num_classes=5)
    # Running statistics as after some training; at their start every channel would look alike.
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    features = nn.Sequential(*list(net.children())[:-2])
    return WithMap(features, net.fc)


def tiny() -> WithMap:
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU()
    )
    model = WithMap(features, nn.Linear(6, 2))
    with torch.no_grad():
        # The first class answers to brightness alone, so that its map must lie where the bright spot is.
        for layer in (features[0], features[2]):
            layer.bias.zero_()
            layer.weight[0] = layer.weight[0].abs() * 0
            layer.weight[0, 0] = 1 / 9
        model.head.weight[0] = torch.tensor([1.0, 0, 0, 0, 0, 0])
        model.map_weights.copy_(model.head.weight)
    return model


def write_fixture(model: WithMap, graph: bytes, image: torch.Tensor) -> None:
    (FIXTURES / "cam.onnx").write_bytes(graph)
    maps = {str(label): grad_cam(model, image, label)[0].flatten().tolist() for label in (0, 1)}
    known = {"by": "torch autograd, training/cam/check.py --fixture", "image": image[0, 0].flatten().tolist(), "maps": maps}
    (FIXTURES / "cam.expected.json").write_text(json.dumps(known) + "\n")
    print(f"cam.onnx: {len(graph)} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixture", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(20260301)
    torch.set_num_threads(1)
    differences = []
    with torch.no_grad():
        net = big()
        small = tiny()
    _, far = check("ResNet-18", net, torch.randn(2, 3, 224, 224))
    differences.append(far)
    image = torch.rand(1, 1, 32, 24)
    graph, far = check("tiny net", small, image)
    differences.append(far)
    if args.fixture:
        write_fixture(small, graph, image)
    return 0 if max(differences) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
