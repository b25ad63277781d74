"""Upright crops of a film, cut where vertebrae were found."""

import torch
import torch.nn.functional as F


def cut(image, centre, along, down, size, side):
    """Crops (N*P, 1, side, side) of films (N, 1, H, W), each normalised by itself."""
    return normalised(sampled(image, centre, along, down, size, side))


def sampled(image, centre, along, down, size, side):
    """Crops (N*P, 1, side, side) in the film's own grey levels, black beyond its edges.

    Centres and axes (N, P, 2) and sizes (N, P, 1) are in pixels of the film.
    """
    count, places = centre.shape[:2]
    # A sample lies at right * along + lower * down + centre: one product for all of them, as broadcasting over a last
    # axis of two is the slowest thing ONNX Runtime can be asked for.
    step = (torch.arange(side, dtype=image.dtype) - (side - 1) / 2) / side
    lower, right = torch.meshgrid(step, step, indexing="ij")
    spots = torch.stack([right, lower, torch.ones_like(right)], -1).reshape(-1, 3)
    # grid_sample counts from -1 to 1 between the outer edges of the film.
    scale = 2 / torch.tensor([image.shape[3], image.shape[2]], dtype=image.dtype)
    frame = torch.stack([along * size * scale, down * size * scale, (centre + 0.5) * scale - 1], 2)
    grid = (spots @ frame).reshape(count, places * side, side, 2)
    crops = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return crops.reshape(count * places, 1, side, side)


def normalised(crops):
    mean = crops.mean((2, 3), keepdim=True)
    spread = (crops - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
    return (crops - mean) / (spread + 1e-2)
