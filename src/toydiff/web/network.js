// The network and what makes a denoiser of it: E[x_0 | x_t] for one point (x, y) at a time, in the model's units.

const BOUND = 20; // of log-SNR, where embeddings end

/** Return erf(u), |error| < 2e-7 (Numerical Recipes' Chebyshev fit of erfc). */
function erf(u) {
  const k = 1 / (1 + 0.5 * Math.abs(u));
  const fit = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
    -0.82215223, 0.17087277];
  const tail = k * Math.exp(-u * u + fit.reduceRight((sum, part) => sum * k + part, 0));
  return u < 0 ? tail - 1 : 1 - tail;
}

const ACTIVATIONS = {
  relu: (u) => (u > 0 ? u : 0),
  silu: (u) => u / (1 + Math.exp(-u)),
  gelu: (u) => (u * (1 + erf(u / Math.SQRT2))) / 2,
};

/** What a network is told of a level, as toydiff.networks.embedding has it; in float32, as there. */
const EMBEDDINGS = {
  log_snr: (level, periods) => waves(periods, (period) => f32(f32(2 * Math.PI * f32(clamped(level))) / period)),
  t: (level) => [f32(level.t)],
  sinusoidal_t: (level, frequencies) => waves(frequencies, (each) => f32(f32(1000 * f32(level.t)) * each)),
  log_sigma: (level) => [Math.sin(f32(-clamped(level)) / 4), Math.cos(f32(-clamped(level)) / 4)],
};
const f32 = Math.fround;
const clamped = (level) => Math.min(BOUND, Math.max(-BOUND, logSNR(level)));
const logSNR = (level) => 2 * (Math.log(level.alpha) - Math.log(level.sigma));
const waves = (numbers, angle) => [...numbers.map((n) => Math.sin(angle(n))), ...numbers.map((n) => Math.cos(angle(n)))];

/** A matrix and a bias: h → W h + b. */
class Linear {
  constructor(weight, bias) {
    [this.rows, this.columns] = weight.shape;
    this.weight = Float64Array.from(floats(weight.data));
    this.bias = Float64Array.from(floats(bias.data));
    this.out = new Float64Array(this.rows);
  }

  of(h) {
    const { weight, bias, rows, columns, out } = this, whole = columns - (columns % 4);
    for (let i = 0, k = 0; i < rows; i++) {
      let a = bias[i], b = 0, c = 0, d = 0, j = 0; // four sums at once: twice as fast as one
      for (; j < whole; j += 4, k += 4) {
        a += weight[k] * h[j];
        b += weight[k + 1] * h[j + 1];
        c += weight[k + 2] * h[j + 2];
        d += weight[k + 3] * h[j + 3];
      }
      for (; j < columns; j++, k++) a += weight[k] * h[j];
      out[i] = a + b + c + d;
    }
    return out;
  }
}

/** The multilayer perceptron of toydiff.networks.mlp: [x, sines and cosines of x, level, label] → like x. */
class MLP {
  constructor({ tensors, activation, residual, classes, embedding, labelFeatures }) {
    Object.assign(this, { residual, classes, embedding, labelFeatures, activation: ACTIVATIONS[activation] });
    const layer = (name) => new Linear(tensors[`${name}.weight`], tensors[`${name}.bias`]);
    const hidden = Object.keys(tensors).filter((name) => /^hidden\.\d+\.bias$/.test(name)).length;
    this.first = layer("first");
    this.hidden = Array.from({ length: hidden }, (_, k) => layer(`hidden.${k}`));
    this.last = layer("last");
    this.frequencies = tensors.frequencies && floats(tensors.frequencies.data);
    this.labels = tensors["label_embedding.weight"] && floats(tensors["label_embedding.weight"].data);
    this.input = new Float64Array(this.first.columns);
    this.h = new Float64Array(this.first.rows);
    this.known = new Map(); // the features of a level: a thousand points ask for the same ones
  }

  of([x, y], level, label) {
    const { input, frequencies } = this, waves = frequencies ? frequencies.length / 2 : 0;
    input[0] = x;
    input[1] = y;
    for (let k = 0; k < waves; k++) {
      const angle = x * frequencies[k] + y * frequencies[waves + k];
      input[2 + k] = Math.sin(angle);
      input[2 + waves + k] = Math.cos(angle);
    }
    if (!this.known.has(level)) this.known.set(level, EMBEDDINGS[this.embedding.kind](level, this.embedding.numbers));
    input.set(this.known.get(level), 2 + 2 * waves);
    if (this.labels) {
      const start = (label ?? this.classes) * this.labelFeatures;
      input.set(this.labels.subarray(start, start + this.labelFeatures), input.length - this.labelFeatures);
    }
    let h = this.first.of(input).map(this.activation);
    for (const layer of this.hidden) {
      const update = layer.of(h);
      for (let i = 0; i < update.length; i++) update[i] = this.activation(update[i]) + (this.residual ? h[i] : 0);
      h = update;
    }
    const [u, v] = this.last.of(h);
    return [u, v];
  }
}

/** Return (a, b) of what the network outputs, F = a · x_0 + b · eps: toydiff.denoiser.target_coefficients. */
function targetCoefficients(target, { alpha, sigma }, sigmaData) {
  const scale = Math.hypot(alpha, sigma), S = Math.hypot(alpha * sigmaData, sigma);
  return {
    eps: [0, 1],
    x0: [1, 0],
    v: [-sigma / scale, alpha / scale],
    score: [0, -1],
    flow: [-1, 1],
    edm: [sigma / (sigmaData * S), (-alpha * sigmaData) / S],
  }[target];
}

/** Return denoise(x, level, label) → E[x_0 | x_t] = (b · x_t − sigma · F) / (alpha · b − sigma · a). */
function denoiser(model) {
  const network = new MLP(model.network);
  return (x, level, label) => {
    const { alpha, sigma } = level;
    const seen = model.normalizeInput ? 1 / Math.hypot(alpha * model.sigmaData, sigma) : 1;
    const F = network.of([seen * x[0], seen * x[1]], level, label);
    const [a, b] = targetCoefficients(model.target, level, model.sigmaData);
    const below = alpha * b - sigma * a;
    return mix(b / below, x, -sigma / below, F);
  };
}

/** Return denoise(x, level) with the label bound, guided (Ho & Salimans 2022), then clipped, as Loaded.denoise does. */
function guided(denoise, model, label, guidance) {
  const [low, high] = model.interval;
  return (x, level) => {
    let x0 = denoise(x, level, label);
    const ratio = level.sigma / level.alpha;
    if (label !== null && guidance !== 1 && low < ratio && ratio <= (high ?? Infinity)) {
      x0 = mix(1 - guidance, denoise(x, level, null), guidance, x0);
    }
    return model.clip ? x0.map((each, k) => Math.min(model.clip[1][k], Math.max(model.clip[0][k], each))) : x0;
  };
}

/** Return a · x + b · y of two points. */
const mix = (a, x, b, y) => [a * x[0] + b * y[0], a * x[1] + b * y[1]];
