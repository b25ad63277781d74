"""The running average of a net's weights, which reads better than the weights of the last step."""

import torch


@torch.no_grad()
def follow(average, net, step, most, early=20):
    """Moves the average towards the net's weights; it forgets quickly at first, and at most keeps `most` of itself."""
    keep = min(most, step / (step + early))
    for key, value in net.state_dict().items():
        if value.dtype.is_floating_point:
            average[key].lerp_(value, 1 - keep)
        else:
            average[key].copy_(value)
