"""Class activation maps in one forward pass: a second output of the network instead of a backward pass.

With global average pooling and a linear head, logit_c = mean over places of sum_k W_ck A_k + b_c, so the gradient of the
logit by A_k is W_ck / places everywhere, and Grad-CAM (Selvaraju 2017: ReLU of the activations weighted by the mean
gradients) is ReLU(sum_k W_ck A_k) / places. The sum is one more tensor of the graph; `mean(cam) + b = logit` checks it for free.
"""

import torch
from torch import nn


class WithMap(nn.Module):
    """`features` ends with the activations [n, k, rows, columns]; `head` is the linear layer after the pooling."""

    def __init__(self, features: nn.Module, head: nn.Linear):
        super().__init__()
        self.features, self.head = features, head
        # A buffer, so that the exported graph holds the weights once more as a constant and needs no gradient.
        self.register_buffer("map_weights", head.weight.detach().clone())

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        activations = self.features(image)
        logits = self.head(activations.mean(dim=(2, 3)))
        cam = torch.einsum("nkyx,ck->ncyx", activations, self.map_weights)
        return logits, cam


def grad_cam(model: WithMap, image: torch.Tensor, label: int) -> torch.Tensor:
    """The textbook way, by autograd; `model` is only used through its own layers."""
    activations = model.features(image).detach().requires_grad_(True)
    logits = model.head(activations.mean(dim=(2, 3)))
    (gradient,) = torch.autograd.grad(logits[:, label].sum(), activations)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * activations).sum(dim=1)).detach()
