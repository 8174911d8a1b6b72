"""Random numbers as functions of (seed, stream, step): nothing to save, nothing to lose when a run is resumed.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a 128-bit counter and a
64-bit key into 128 random bits. The seed is the key; the counter names the draw:

    (block of four elements, index of the sample, step, hash of the stream's name).

Every element thus has an address of its own, and its value is the same whatever is drawn beside it.
"""

from __future__ import annotations

import math
from hashlib import blake2b

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # the key's increments: the golden ratio and √3 − 1

Word = Tensor | int


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """Return a fresh CPU generator for (seed, stream, step): permutations (step = epoch) and draws of data."""
    name = f"{seed & (1 << 64) - 1}/{step}/{stream}".encode()
    return torch.Generator().manual_seed(int.from_bytes(blake2b(name, digest_size=8).digest(), "little"))


def normal(
    shape: tuple[int, ...],
    *,
    seed: Word,
    stream: str,
    step: Word = 0,
    index: Word = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normals: for every (seed, step, index) a sample of `shape`.

        z_0 = r cos θ, z_1 = r sin θ,  r = √(−2 ln u_0), θ = 2π u_1,  u_0 ∈ (0, 1], u_1 ∈ [0, 1) of 32 bits: |z| < 6.7

    `seed` (64 bits), `step` and `index` (32 bits) are ints or integer tensors that broadcast against one another; the
    result is (*broadcast, *shape). Training: one seed, step (S, 1), index (B,) → (S, B, *shape). Sampling: a seed for
    every sample (B,), one step → (B, *shape). (Box & Muller 1958.)
    """
    words = _words(shape, 4, seed, stream, step, index, device)
    pairs = (words[:2], words[2:]) if math.prod(shape) > 2 else (words[:2],)  # a point in the plane needs one pair
    elements = []
    for u0, u1 in pairs:
        # float64: u_0 must be exact, and the same value gives the same bits whatever the batch size
        r = u0.double().add_(1).mul_(2.0**-32).log_().mul_(-2).sqrt_()
        theta = u1.double().mul_(2 * math.pi * 2.0**-32)
        elements += [(theta.cos().mul_(r)).to(dtype), theta.sin_().mul_(r).to(dtype)]
    return _samples(elements, shape, device)


def uniform(
    shape: tuple[int, ...],
    *,
    seed: Word,
    stream: str,
    step: Word = 0,
    index: Word = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return uniform numbers in (0, 1], multiples of 2⁻⁵³, addressed as in `normal`: training times, label dropout."""
    words = _words(shape, 2, seed, stream, step, index, device)
    elements = [
        ((high << 21 | low >> 11) + 1).double().mul_(2.0**-53).to(dtype) for high, low in (words[:2], words[2:])
    ]
    return _samples(elements, shape, device)


def philox(counter: tuple[Word, Word, Word, Word], key: tuple[Word, Word]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four random words of Philox4x32-10 for a counter of four words and a key of two.

    Words are 32-bit numbers, ints or int64 tensors that broadcast against one another. The first is a tensor.
    """
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        # a 64-bit product may wrap to a negative int64: its bits are right all the same
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32 & _WORD) ^ c1 ^ k0, p1 & _WORD, (p0 >> 32 & _WORD) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = k0 + _WEYL[0] & _WORD, k1 + _WEYL[1] & _WORD
    return c0, c1, c2, c3  # type: ignore[return-value]


def word_of(stream: str) -> int:
    """Return the 32-bit word that stands for a stream's name in the counter."""
    return int.from_bytes(blake2b(stream.encode(), digest_size=4).digest(), "little")


def _words(
    shape: tuple[int, ...], per_block: int, seed: Word, stream: str, step: Word, index: Word, device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four words for each block of `per_block` elements, (*broadcast, blocks) each."""
    # Apple's GPUs have no float64: there the numbers are drawn on the CPU and moved
    where = torch.device("cpu") if torch.device(device).type == "mps" else torch.device(device)

    def column(word: Word) -> Word:
        return word.to(where, torch.int64)[..., None] if isinstance(word, Tensor) else word

    seed, name = column(seed), word_of(stream)
    block = torch.arange(-(-math.prod(shape) // per_block), device=where)
    return philox((block, column(index), column(step), name), (seed & _WORD, seed >> 32 & _WORD))


def _samples(elements: list[Tensor], shape: tuple[int, ...], device: torch.device | str) -> Tensor:
    """Put the elements of each block side by side, drop what the last block has too many, and give samples `shape`."""
    flat = torch.stack(elements, -1).flatten(-2)[..., : math.prod(shape)]
    return flat.reshape((*flat.shape[:-1], *shape)).to(device)
