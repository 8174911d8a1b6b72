"""Every draw is a function of its address (seed, stream, step, index, element), and is what it says it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from toydiff.training.streams import generator, normal, philox, uniform

STREAMS = ("train/noise", "train/time", "train/drop", "sample/start", "sample/step", "data", "order", "init")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def bits(x: Tensor) -> Tensor:
    """Return the bit patterns, so that −0 and 0 differ."""
    return x.view(torch.int32 if x.dtype == torch.float32 else torch.int64)


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(bits(a), bits(b))


# ── Philox ───────────────────────────────────────────────────────────────────────────────────────────────────────────

KNOWN_ANSWERS = [  # Random123's own vectors for philox4x32-10: counter, key, output
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: str, key: str, output: str) -> None:
    c, k, expected = ([int(word, 16) for word in words.split()] for words in (counter, key, output))
    words = philox((torch.tensor([c[0]]), c[1], c[2], c[3]), (k[0], k[1]))
    assert [word.item() for word in words] == expected
    tensors = [torch.tensor([word]) for word in c + k]
    assert [w.item() for w in philox(tuple(tensors[:4]), tuple(tensors[4:]))] == expected  # type: ignore[arg-type]


def test_philox_agrees_with_unbounded_integers() -> None:
    """The 64-bit product wraps in int64; Python's integers do not wrap."""

    def by_hand(c: list[int], k: list[int]) -> list[int]:
        for r in range(10):
            p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            key = [(k[0] + r * 0x9E3779B9) % 2**32, (k[1] + r * 0xBB67AE85) % 2**32]
            c = [q // 2**32 ^ c[1] ^ key[0], q % 2**32, p // 2**32 ^ c[3] ^ key[1], p % 2**32]
        return c

    words = torch.randint(0, 2**32, (6, 300), generator=torch.Generator().manual_seed(0))
    words[:, :2] = torch.tensor([0, 2**32 - 1])
    found = torch.stack(philox(tuple(words[:4]), tuple(words[4:])), 1)  # type: ignore[arg-type]
    assert found.tolist() == [by_hand(column[:4], column[4:]) for column in words.t().tolist()]


def test_normals_are_box_and_mullers_of_the_counter_s_words() -> None:
    """An independent route: the address, by hand, through `math` to the number."""
    from hashlib import blake2b

    seed, step, index = 0xFEDCBA9876543210, 12345, 77
    name = int.from_bytes(blake2b(b"x", digest_size=4).digest(), "little")
    z = normal((2, 3), seed=seed, stream="x", step=step, index=index, dtype=torch.float64).flatten()
    u = uniform((5,), seed=seed, stream="x", step=step, index=index)
    for block in range(2):
        words = philox((torch.tensor([block]), index, step, name), (seed % 2**32, seed >> 32))
        w = [word.item() for word in words]
        for pair in range(2 if block == 0 else 1):
            r = math.sqrt(-2 * math.log((w[2 * pair] + 1) / 2**32))
            angle = 2 * math.pi * w[2 * pair + 1] / 2**32
            expected = [r * math.cos(angle), r * math.sin(angle)]
            assert z[4 * block + 2 * pair :][:2].tolist() == pytest.approx(expected, rel=1e-14, abs=1e-14)
        assert u[2 * block].item() == (w[0] * 2**21 + w[1] // 2**11 + 1) / 2**53
        assert u[2 * block + 1].item() == (w[2] * 2**21 + w[3] // 2**11 + 1) / 2**53


# ── the same whatever is drawn beside it ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("draw", [normal, uniform])
@pytest.mark.parametrize("shape", [(), (2,), (3,), (1, 5, 7)])
def test_the_same_bits_in_every_batch(draw: type[normal], shape: tuple[int, ...], threads: int) -> None:  # type: ignore[valid-type]
    torch.set_num_threads(1)
    single = torch.stack([draw(shape, seed=3, stream="s", step=4, index=i) for i in range(67)])
    torch.set_num_threads(threads)
    for size in range(1, 68):
        batch = draw(shape, seed=3, stream="s", step=4, index=torch.arange(size))
        assert batch.shape == (size, *shape) and same(batch, single[:size]), size
    order = torch.randperm(67, generator=torch.Generator().manual_seed(0))
    assert same(draw(shape, seed=3, stream="s", step=4, index=order), single[order])
    assert same(draw(shape, seed=3, stream="s", step=4, index=torch.tensor([5, 5, 66])), single[[5, 5, 66]])
    steps = torch.tensor([[9], [4], [0]])
    assert same(draw(shape, seed=3, stream="s", step=steps, index=torch.arange(67))[1], single)


def test_the_same_bits_in_large_batches_on_any_number_of_threads(threads: int) -> None:
    """Large enough that torch splits the work among threads, at places that are no multiple of a SIMD register."""
    large = normal((3,), seed=1, stream="s", index=torch.arange(50_021))
    assert same(normal((3,), seed=1, stream="s", index=torch.arange(49_900, 50_021)), large[49_900:])
    torch.set_num_threads(3 - threads)
    assert same(normal((3,), seed=1, stream="s", index=torch.arange(50_021)), large)


def test_one_seed_for_each_sample() -> None:
    seeds = torch.tensor([0, 1, 63, 2**40 + 5, -1])
    batch = normal((2, 3), seed=seeds, stream="s", step=2)
    for i, seed in enumerate([0, 1, 63, 2**40 + 5, 2**64 - 1]):  # −1 is 2⁶⁴ − 1 in 64 bits
        assert same(normal((2, 3), seed=seed, stream="s", step=2), batch[i])


def test_a_longer_sample_begins_like_a_shorter_one() -> None:
    long = normal((40,), seed=1, stream="s")
    assert all(same(normal((n,), seed=1, stream="s"), long[:n]) for n in range(41))
    assert same(normal((2, 4, 5), seed=1, stream="s").flatten(), long)


def test_dtypes() -> None:
    double = normal((9,), seed=1, stream="s", dtype=torch.float64)
    assert same(normal((9,), seed=1, stream="s"), double.float())
    assert uniform((), seed=1, stream="s").dtype == torch.float64
    with torch.device("meta"):  # a default device elsewhere must not leak in
        assert same(normal((9,), seed=1, stream="s"), double.float())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_numbers() -> None:
    index = torch.arange(1000)
    on_gpu = normal((3,), seed=1, stream="s", index=index, device="cuda", dtype=torch.float64)
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), normal((3,), seed=1, stream="s", index=index, dtype=torch.float64))
    assert same(normal((3,), seed=1, stream="s", index=index[:7], device="cuda", dtype=torch.float64), on_gpu[:7])
    assert same(
        uniform((3,), seed=1, stream="s", index=index, device="cuda").cpu(),
        uniform((3,), seed=1, stream="s", index=index),
    )


# ── distributions ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_normals_are_normal() -> None:
    z = normal((4,), seed=7, stream="s", step=torch.arange(8)[:, None], index=torch.arange(65_536)).double()
    n = z.numel()  # 2 million
    assert abs(z.mean()) < 4.5 / n**0.5 and abs(z.var() - 1) < 4.5 * (2 / n) ** 0.5
    assert abs((z**3).mean()) < 4.5 * (15 / n) ** 0.5 and abs((z**4).mean() - 3) < 4.5 * (96 / n) ** 0.5
    assert 4.5 < z.abs().max() < 6.67
    beyond = (z.abs() > 4).sum().item()
    assert stats.binomtest(beyond, n, 2 * stats.norm.sf(4)).pvalue > 1e-5
    for j in range(4):  # each element of a block, for each comes from other words
        assert stats.kstest(z[0, :, j].numpy(), "norm").pvalue > 1e-4


def test_uniforms_are_uniform_and_never_zero() -> None:
    u = uniform((2,), seed=7, stream="s", index=torch.arange(100_000))
    assert u.min() > 0 and u.max() <= 1
    assert all(stats.kstest(u[:, j].numpy(), "uniform").pvalue > 1e-4 for j in range(2))
    low = (u * 2**53 % 2**20).numpy() / 2**20  # the low bits are random too
    assert stats.kstest(low.ravel(), "uniform").pvalue > 1e-4


def test_the_ends_of_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """u = 1 exactly for all-ones words; the smallest is 2⁻⁵³; the largest normal is √(64 ln 2) = 6.66."""
    for word, u, z in ((2**32 - 1, 1.0, 0.0), (0, 2.0**-53, math.sqrt(64 * math.log(2)))):
        words = (torch.tensor([word]),) * 4
        monkeypatch.setattr("toydiff.training.streams.philox", lambda *_, words=words: words)
        assert uniform((), seed=0, stream="s").item() == u
        assert normal((), seed=0, stream="s", dtype=torch.float64).item() == pytest.approx(z, abs=1e-12)


def test_neighbouring_addresses_are_independent() -> None:
    """Elements, indices, steps, seeds and streams next to each other: no correlation, none of squares or signs."""
    n, index = 40_000, torch.arange(40_001)
    here = {"seed": 5, "step": 9, "stream": "train/noise"}
    z = normal((8,), index=index, **here)  # type: ignore[arg-type]
    neighbours = [*pairwise(z[:n].unbind(1)), (z[:n, 0], z[1:, 0])]
    for change in ({"step": 10}, {"seed": 6}, {"seed": 5 + 2**32}, {"step": 9 + 2**16}, {"stream": "train/noisf"}):
        neighbours.append((z[:n, 0], normal((1,), index=index[:n], **here | change)[:, 0]))  # type: ignore[arg-type]
    neighbours.append((z[:n, 0], normal((1,), index=9, step=index[:n], seed=5, stream="train/noise")[:, 0]))
    for a, b in neighbours:
        for f in (lambda x: x, lambda x: x**2, torch.sign):
            r = np.corrcoef(f(a).numpy(), f(b).numpy())[0, 1]
            assert abs(r) < 4.5 / n**0.5


def test_no_two_addresses_share_a_draw() -> None:
    """All fields at 0, 1 and their highest bits: a swapped or dropped field would make two of them equal."""
    u = [
        uniform((), seed=seed, stream=stream, step=step, index=index).item()
        for seed in (0, 1, 2**32, 2**63, 2**64 - 1)
        for stream in STREAMS
        for step in (0, 1, 2, 2**31)
        for index in (0, 1, 2, 2**31)
    ]
    assert len(set(u)) == len(u) == 5 * len(STREAMS) * 16


def test_generators() -> None:
    def permutation(seed: int, stream: str, step: int) -> tuple[int, ...]:
        return tuple(torch.randperm(50, generator=generator(seed, stream, step)).tolist())

    addresses = [(seed, stream, step) for seed in (0, 1, 11, 2**64 - 1) for stream in STREAMS for step in (0, 1, 11)]
    permutations = [permutation(*address) for address in addresses]
    assert len(set(permutations)) == len(addresses)
    assert permutations == [permutation(*address) for address in addresses]
    assert permutation(-1, "order", 3) == permutation(2**64 - 1, "order", 3)
    first = torch.tensor([permutation(0, "order", epoch)[0] for epoch in range(4000)])
    assert stats.chisquare(first.bincount(minlength=50).numpy()).pvalue > 1e-4
