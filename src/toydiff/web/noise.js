// Random numbers as functions of (seed, stream, step): the same bits as toydiff.training.streams.
//
// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): the seed is the key, the counter
// names the draw: (block of four elements, index of the sample, step, hash of the stream's name).

/** Return [high, low], the two 32-bit words of a · b. */
function product(a, b) {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carried = aLow * bHigh + (middle & 0xffff);
  return [(aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carried / 65536)) >>> 0, Math.imul(a, b) >>> 0];
}

/** Return the four random words for a counter of four words and a key of two. */
function philox([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = product(c0, 0xd2511f53), [high1, low1] = product(c2, 0xcd9e8d57);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0; // the golden ratio and √3 − 1
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

const key = (seed) => [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];

/** Return the two standard normals of a point: z = r (cos θ, sin θ), r = √(−2 ln u₀), θ = 2π u₁ (Box & Muller 1958). */
function normal(seed, stream, step) {
  const [u0, u1] = philox([0, 0, step, stream], key(seed));
  const r = Math.sqrt(-2 * Math.log((u0 + 1) / 2 ** 32)), theta = (2 * Math.PI * u1) / 2 ** 32;
  return [Math.fround(Math.cos(theta) * r), Math.fround(Math.sin(theta) * r)];
}

/** Return a uniform number in (0, 1], a multiple of 2⁻⁵³. */
function uniform(seed, stream) {
  const [high, low] = philox([0, 0, 0, stream], key(seed));
  return (high * 2 ** 21 + (low >>> 11) + 1) / 2 ** 53;
}
