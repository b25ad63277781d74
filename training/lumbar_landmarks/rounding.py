"""Trains the first stage with the rounding of the exported graph: weights of seven bits, activations of eight.

`rounded` folds normalisations into their convolutions and rounds what `eight_bits.quantise` will round: of every
convolution but the first and the last its weights, what it takes and what it gives. Gradients pass as if nothing were
rounded.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .net import Residual

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
        self.first = swapped(block.first)
        self.second = nn.Sequential(SevenBitConv(block.second[0], gives=Range()), block.second[1])
        self.takes, self.gives = takes or nn.Identity(), Range(positive=True)

    def forward(self, x):
        x = self.takes(x)
        return self.gives(x + self.second(self.first(x)))


SUMS = ("merge", "last")  # what these blocks take is a sum of two rounded maps, of which one was enlarged


def swapped(part, takes_sum=False):
    """The same part of a folded net, which rounds."""
    if isinstance(part, nn.ModuleList):
        return nn.ModuleList(swapped(each, takes_sum) for each in part)
    if isinstance(part, Residual):
        return RoundedResidual(part, takes=Range() if takes_sum else None)
    if isinstance(part, nn.Conv2d):
        return SevenBitConv(part, gives=Range())
    if isinstance(part[0], nn.Conv2d):
        return nn.Sequential(SevenBitConv(part[0]), part[1], Range(positive=True))
    return nn.Sequential(*(swapped(each) for each in part))


def rounded(net):
    """A CornerNet that rounds as the exported graph does; its weights are called as those of a folded one."""
    folded(net)
    for name, part in list(net.named_children()):
        if name == "stem":
            part[2] = Range(positive=True)
        elif name != "head":
            setattr(net, name, swapped(part, name in SUMS))
    return net


def folded(net):
    """The net as it is evaluated, every normalisation folded into the convolution before it."""
    net.eval()
    for part in net.modules():
        if isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[1], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()
    return net


RANGE = (".low", ".high")


def was_rounded(state):
    return any(name.endswith(RANGE) for name in state)


def evaluated(net, state):
    """The net to evaluate or export, from the state of one with normalisations or of one trained with rounding."""
    if was_rounded(state):
        net = folded(net)
        state = {name: value for name, value in state.items() if not name.endswith(RANGE)}
    net.load_state_dict(state)
    return net.eval()


def trained_ranges(state, nodes, scope):
    """Smallest and largest value of tensors of the exported graph, of a net that was trained with rounding.

    `scope` is the net's name in the graph, whose nodes are called after the modules that they come from."""
    inside = [(module_of(node.name), node) for node in nodes if node.name.startswith(f"/{scope}/")]
    ranges = {}
    for name in state:
        module, _, side = name.removesuffix(".low").rpartition(".")
        if not name.endswith(".low"):
            continue
        if side == "takes":
            tensor = next(node.input[0] for place, node in inside if place.startswith(f"{module}."))
        else:
            module = module if side == "gives" else f"{module}.{side}"
            tensor = [node.output[0] for place, node in inside if place == module][-1]
        ranges[tensor] = (state[name].item(), state[name.removesuffix("low") + "high"].item())
    return ranges


def module_of(node):
    """/coarse/down.0/down.0.1/Relu belongs to down.0.1: what is called inside a sequence bears the sequence's name."""
    path = []
    for part in node.split("/")[2:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)
