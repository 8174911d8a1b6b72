// Samplers: generators over levels that see only `denoise`, and yield {x, x0} a step; see toydiff.samplers.

const SAMPLERS = {
  /** Keeps x̂_0 and ε̂ and changes the level (Song et al. 2021, eq. 12). */
  *ddim(denoise, x, levels, noise, { eta = 0 }) {
    for (const [t, s] of pairs(levels)) {
      const x0 = denoise(x, t), variance = eta ** 2 * posteriorVariance(t, s);
      x = keepX0(x, x0, t, s, variance);
      if (eta > 0) x = mix(1, x, Math.sqrt(variance), noise());
      yield { x, x0 };
    }
  },

  /** Euler's method in x/alpha and sigma/alpha: the same numbers as ddim with eta = 0 (Karras et al. 2022). */
  *euler(denoise, x, levels, noise) {
    yield* SAMPLERS.ddim(denoise, x, levels, noise, { eta: 0 });
  },

  /** Heun's second-order method on the straight-line direction u = ε̂ − x̂_0 (after Karras et al. 2022, algorithm 1). */
  *heun(denoise, x, levels) {
    const direction = (x, x0, level) => mix(1 / level.sigma, mix(1, x, -level.alpha, x0), -1, x0);
    for (const [t, s] of pairs(levels)) {
      const x0 = denoise(x, t);
      let u = direction(x, x0, t), next = along(x, u, t, s);
      if (s.sigma > 0) {
        u = mix(0.5, u, 0.5, direction(next, denoise(next, s), s));
        next = along(x, u, t, s);
      }
      x = next;
      yield { x, x0 };
    }
  },

  /** Ancestral sampling with the posterior variance or Ho's larger β (Ho et al. 2020, algorithm 2). */
  *ddpm(denoise, x, levels, noise, { variance = "posterior" }) {
    for (const [t, s] of pairs(levels)) {
      const x0 = denoise(x, t), gain = t.alpha / s.alpha;
      const beta = t.sigma ** 2 - (gain * s.sigma) ** 2, posterior = beta * (s.sigma / t.sigma) ** 2;
      const spread = variance === "posterior" || s.sigma === 0 ? posterior : beta; // z = 0 at t = 1
      x = mix(gain * (s.sigma / t.sigma) ** 2, x, (s.alpha * beta) / t.sigma ** 2, x0);
      x = mix(1, x, Math.sqrt(Math.max(0, spread)), noise());
      yield { x, x0 };
    }
  },
};

const pairs = (levels) => levels.slice(1).map((s, k) => [levels[k], s]);

/** Return the variance β̃ of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7). */
function posteriorVariance(t, s) {
  return (s.sigma / t.sigma) ** 2 * Math.max(0, t.sigma ** 2 - ((t.alpha / s.alpha) * s.sigma) ** 2);
}

/** Return alpha_s x̂_0 + √(sigma_s² − variance) ε̂, ε̂ the noise that x̂_0 leaves in x_t. */
function keepX0(x, x0, t, s, variance) {
  const eps = mix(1 / t.sigma, x, -t.alpha / t.sigma, x0);
  return mix(s.alpha, x0, Math.sqrt(Math.max(0, s.sigma ** 2 - variance)), eps);
}

/** Return x_s = alpha_s x_0 + sigma_s eps for the x_0, eps with eps − x_0 = u, alpha_t x_0 + sigma_t eps = x. */
function along(x, u, t, s) {
  const x0 = mix(1 / (t.alpha + t.sigma), x, -t.sigma / (t.alpha + t.sigma), u);
  return mix(s.alpha + s.sigma, x0, s.sigma, u);
}

/** What samples in the page: a model with its levels, asked for one seed at a time; points are in data units. */
class Lab {
  constructor(model) {
    this.model = model;
    this.denoise = denoiser(model);
    this.grids = new Map(Object.entries(model.grids).map(([steps, data]) => [Number(steps), levelsOf(data)]));
    this.toData = (x) => [x[0] * model.scale + model.shift[0], x[1] * model.scale + model.shift[1]];
  }

  /** Return the label of a seed: the one asked for, else drawn by training frequency; null where there are none. */
  label(seed, asked) {
    const { shares, streams, network } = this.model;
    if (!network.classes) return null;
    if (asked !== null) return asked;
    const u = uniform(seed, streams.label), k = shares.findIndex((share) => u <= share);
    return k < 0 ? shares.length - 1 : k;
  }

  /** Return the point of noise that a seed starts from. */
  start(seed, steps) {
    const { alpha, sigma } = this.grids.get(steps)[0], { unitPrior, sigmaData, streams } = this.model;
    const size = unitPrior ? 1 : Math.hypot(alpha * sigmaData, sigma), eps = normal(seed, streams.sample, 1);
    return this.toData([f32(size * eps[0]), f32(size * eps[1])]);
  }

  /**
   * Return {x, x0}, lists of points: x at every level, and the x̂_0 that is made from each; the last is its own.
   * `way` is {sampler, steps, options, guidance, label}; the path begins at `start`, if given, with the seed's noise.
   */
  path(seed, way, start = this.start(seed, way.steps)) {
    const { model } = this, levels = this.grids.get(way.steps), label = this.label(seed, way.label);
    let draws = 1;
    const noise = () => normal(seed, model.streams.sample, ++draws);
    const x = [start[0] - model.shift[0], start[1] - model.shift[1]].map((each) => each / model.scale);
    const denoise = guided(this.denoise, model, label, way.guidance);
    const xs = [start], x0s = [];
    for (const step of SAMPLERS[way.sampler](denoise, x, levels, noise, way.options ?? {})) {
      xs.push(this.toData(step.x));
      x0s.push(this.toData(step.x0));
    }
    return { x: xs, x0: [...x0s, xs.at(-1)] };
  }
}
