"""Trains the first stage with the rounding of the exported graph: weights of seven bits, activations of eight.

`rounded` folds normalisations into their convolutions and rounds what `eight_bits.quantise` will round: of every
convolution but the first and the last its weights, what it takes and what it gives. Gradients pass as if nothing were
rounded.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .net import CornerNet, Residual

MOST_WEIGHT = 64  # of a weight in seven bits, as ONNX Runtime's reduce_range has it
PACE = 0.02  # at which a range follows that of the batches


class Rounding(torch.autograd.Function):
    """Torch's own fake quantisation does the same; it takes four times as long."""

    @staticmethod
    def forward(context, x, low, high, scale):
        context.save_for_backward(x)
        context.limits = low, high
        # In float: between two values of bfloat16 there may be more than one step.
        return x.to(torch.float32, copy=True).clamp_(low, high).div_(scale).round_().mul_(scale).to(x.dtype)

    @staticmethod
    def backward(context, gradient):
        return torch.ops.aten.hardtanh_backward(gradient, *context.saved_tensors, *context.limits), None, None, None


class Range(nn.Module):
    """Rounds to 256 steps between the smallest and the largest value as seen of late; zero is one of them.

    With `positive` it is a ReLU as well."""

    def __init__(self, positive=False):
        super().__init__()
        self.positive = positive
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))

    def forward(self, x):
        if self.training:
            # Laid out as it lies in memory, which spares a copy.
            self.follow(*x.detach().permute(0, 2, 3, 1).aminmax())
        low, high = self.low.item(), self.high.item()
        scale = max((high - low) / 255, 1e-8)
        zero = round(-low / scale)
        return Rounding.apply(x, -zero * scale, (255 - zero) * scale, scale)

    def follow(self, low, high):
        pace = PACE if self.high > 0 else 1.0
        self.high.lerp_(high.float().clamp(min=0), pace)
        if not self.positive:
            self.low.lerp_(low.float().clamp(max=0), pace)


class SevenBitConv(nn.Conv2d):
    """A convolution whose weights are rounded by output channel."""

    def __init__(self, conv, gives=None):
        super().__init__(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None
        )
        self.load_state_dict(conv.state_dict())
        self.gives = gives or nn.Identity()

    def forward(self, x):
        scale = (self.weight.detach().abs().amax((1, 2, 3)) / MOST_WEIGHT).clamp(min=1e-8)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(self.weight, scale, zero, 0, -MOST_WEIGHT, MOST_WEIGHT)
        return self.gives(self._conv_forward(x, weight, self.bias))


class RoundedResidual(nn.Module):
    def __init__(self, block, takes=None):
        super().__init__()
        self.first, self.second = block.first, block.second
        self.takes, self.gives = takes or nn.Identity(), Range(positive=True)

    def forward(self, x):
        x = self.takes(x)
        return self.gives(x + self.second(self.first(x)))


def folded(net):
    """The net as it is evaluated, every normalisation folded into the convolution before it."""
    net.eval()
    for part in net.modules():
        if isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[1], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
    return net


def rounded(net):
    """A CornerNet that rounds as the exported graph does, with the same names of weights as a folded one."""
    folded(net)
    for part in list(net.modules()):
        if isinstance(part, nn.Sequential) and isinstance(part[-1], nn.ReLU):
            part[0], part[2] = part[0] if part is net.stem else SevenBitConv(part[0]), Range(positive=True)
        elif isinstance(part, Residual):
            part.second[0] = SevenBitConv(part.second[0], gives=Range())
    net.skip, net.top = (SevenBitConv(conv, gives=Range()) for conv in (net.skip, net.top))
    net.lateral = nn.ModuleList(SevenBitConv(conv, gives=Range()) for conv in net.lateral)
    for stage in net.down:
        stage[1] = RoundedResidual(stage[1])
    # What these take is a sum of two rounded maps, of which one was enlarged.
    net.merge = nn.ModuleList(RoundedResidual(block, takes=Range()) for block in net.merge)
    net.last = RoundedResidual(net.last, takes=Range())
    return net


def corner_net(state):
    """The net to evaluate or export, from the state of one with normalisations or of one trained with rounding."""
    net = CornerNet()
    if any(name.endswith(".gives.low") for name in state):
        net = folded(net)
        state = {name: value for name, value in state.items() if not name.endswith((".low", ".high"))}
    net.load_state_dict(state)
    return net.eval()
