// Sampling in the page: its controls, the ring one drags, and the film that comes of it.

class Bench {
  constructor(lab) {
    this.lab = lab;
    this.model = lab.model;
    this.run = 0; // which sampling is on; an older one gives up
    this.counts = [...lab.grids.keys()].sort((a, b) => a - b);
    this.ways = film.panels.map(({ way }) => way && { ...way, sampler: this.offered(way.sampler), film: way });
    this.moving = this.ways.flatMap((way, k) => (way ? [k] : []));
    this.own = null; // where the ring is, unless at the noise of the seed
  }

  offered(sampler) {
    return this.model.samplers.includes(sampler) ? sampler : "ddim";
  }

  /** Return all that the page is asked to do in a panel. */
  way(k) {
    const { sampler, steps, film: filmed } = this.ways[k];
    const options = filmed.sampler === sampler ? filmed.options : {};
    const asked = byId("class").value;
    return { sampler, steps, options, guidance: this.number("guidance"), label: asked === "" ? null : Number(asked) };
  }

  number(id) {
    const { min, max, value, step } = byId(id), number = Number(value) || 0;
    const [low, high] = [min === "" ? -Infinity : Number(min), max === "" ? Infinity : Number(max)];
    const within = Math.min(high, Math.max(low, number));
    return step === "1" ? Math.round(within) : within;
  }

  begin() {
    const { model } = this, option = ([value, words]) => new Option(words, value);
    const select = (id, options) => byId(id).replaceChildren(...options.map(option));
    const asked = () => this.ways[byId("panel").value];
    select("panel", this.moving.map((k) => [k, film.panels[k].title || "film"]));
    byId("panel-choice").hidden = this.moving.length < 2;
    select("sampler", model.samplers.map((name) => [name, name]));
    select("class", [["", "as trained"], ...model.classes.map((name, k) => [k, name]), [model.classes.length, "none"]]);
    byId("class").value = model.label ?? "";
    byId("steps").max = this.counts.length - 1;
    byId("seed").value = model.seed;
    byId("guidance").value = model.guidance;
    for (const element of document.querySelectorAll(".conditional")) element.hidden = !model.classes.length;
    byId("panel").onchange = () => this.tell();
    byId("sampler").onchange = () => { asked().sampler = byId("sampler").value; this.again(); };
    byId("steps").oninput = () => { asked().steps = this.counts[byId("steps").value]; this.again(); };
    for (const id of ["seed", "points", "class", "guidance"]) {
      byId(id).onchange = () => { if (id === "seed") this.own = null; this.again(); };
    }
    const typed = () => this.move([this.number("start-x"), this.number("start-y")]);
    for (const id of ["start-x", "start-y"]) byId(id).oninput = typed;
    byId("lab").onsubmit = (event) => { event.preventDefault(); this.again(); };
    byId("original").onclick = () => this.back();
    for (const k of this.moving) this.drag(stages[k], k);
    this.tell();
    this.trace();
  }

  /** Let the ring follow a finger or a mouse. */
  drag({ canvas }, k) {
    const follow = (event) => {
      const box = canvas.getBoundingClientRect();
      const shown = stages[k].point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      this.move(this.fromShown(shown, this.levels(k)[0]));
    };
    canvas.classList.add("draggable");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      byId("panel").value = k;
      this.tell();
      follow(event);
    });
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && follow(event));
  }

  levels(k) {
    return this.lab.grids.get(this.ways[k].steps);
  }

  /** Where noise dwarfs the data, x_t is shown divided by √(alpha² + sigma²) about the middle of the data. */
  shown(x, level) {
    const scale = film.divided ? Math.hypot(level.alpha, level.sigma) : 1;
    return film.divided ? x.map((each, i) => (each - film.divided[i]) / scale + film.divided[i]) : x;
  }

  fromShown(x, level) {
    const scale = film.divided ? Math.hypot(level.alpha, level.sigma) : 1;
    return film.divided ? x.map((each, i) => (each - film.divided[i]) * scale + film.divided[i]) : x;
  }

  move(start) {
    this.own = start;
    this.trace();
    draw();
  }

  /** Follow the point that starts at the ring, in every panel that samples. */
  trace() {
    const seed = this.number("seed"), first = this.moving[0];
    const start = this.own ?? this.lab.start(seed, this.ways[first].steps);
    this.traces = this.ways.map((way, k) => way && this.lab.path(seed, this.way(k), start).x);
    for (const [id, value] of [["start-x", start[0]], ["start-y", start[1]]]) {
      if (document.activeElement !== byId(id)) byId(id).value = Number(value.toPrecision(5));
    }
    const said = (x) => `(${x.map((each) => each.toFixed(3).replace("-", "−")).join(", ")})`;
    byId("path").textContent = this.moving.map((k) => {
      const { sampler, steps } = this.ways[k];
      return `${sampler}, ${this.counted(steps)}: ${said(start)} → ${said(this.traces[k].at(-1))}`;
    }).join("\n");
  }

  counted(steps) {
    return steps === 1 ? "1 step" : `${steps} steps`;
  }

  /** Draw the way of the ring's point on a panel: all of it, and where it is now. */
  drawOn(stage, k, shot) {
    if (!this.traces?.[k]) return;
    const { pen, unit } = stage, levels = this.levels(k);
    const way = this.traces[k].map((x, i) => stage.place(...this.shown(x, levels[i])));
    const now = shot.level ? Math.max(0, levels.filter(({ t }) => t >= shot.level.t - 1e-9).length - 1) : 0;
    pen.lineJoin = pen.lineCap = "round";
    for (const [shade, width] of [[paint.paper, 5], [paint.ink, 2]]) {
      pen.strokeStyle = shade;
      pen.lineWidth = width * unit;
      pen.beginPath();
      way.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.stroke();
    }
    const ring = (point, radius, fill) => {
      pen.beginPath();
      pen.arc(...point, Math.max(unit, 0.7 * (window.devicePixelRatio || 1)) * radius, 0, 2 * Math.PI);
      pen.fillStyle = fill;
      pen.fill();
      pen.lineWidth = 2.5 * unit;
      pen.strokeStyle = paint.ink;
      pen.stroke();
    };
    ring(way[0], 9, `${paint.paper}99`);
    ring(way[now], 5, paint.vermilion);
  }

  /** Say in the controls what is asked of the panel they speak of. */
  tell() {
    const way = this.ways[byId("panel").value];
    byId("sampler").value = way.sampler;
    byId("steps").value = this.counts.indexOf(way.steps);
    byId("steps-said").textContent = way.steps;
    byId("steps").setAttribute("aria-valuetext", this.counted(way.steps));
  }

  back() {
    this.run++;
    byId("original").disabled = true;
    byId("progress").textContent = "";
    change(original);
  }

  /** Sample what is asked for, seed by seed, and put the film of it on as it grows. */
  async again() {
    const mine = ++this.run, seed = this.number("seed"), n = this.number("points");
    this.tell();
    this.trace();
    const reel = this.blank(seed, n), moving = this.moving.map((k) => [reel.panels[k], this.way(k)]);
    change(reel);
    byId("original").disabled = false;
    for (let i = 0; i < n; ) {
      const until = performance.now() + 25;
      for (; i < n && performance.now() < until; i++) {
        for (const [panel, way] of moving) {
          const { x, x0 } = this.lab.path(seed + i, way);
          panel.shots.forEach((shot, j) => {
            shot.x.set(this.shown(x[j], shot.level), 2 * i);
            shot.x0.set(x0[j], 2 * i);
          });
          panel.count = i + 1;
        }
      }
      const done = `${n} points of seeds ${seed} to ${seed + n - 1}`;
      byId("progress").textContent = i < n ? `${i} of ${n} points …` : done;
      draw();
      await new Promise((resolve) => setTimeout(resolve));
      if (mine !== this.run) return;
    }
  }

  /** Return a film of n points yet to be sampled, all panels by one clock. */
  blank(seed, n) {
    const linked = this.moving.length > 1, most = Math.max(...this.moving.map((k) => this.ways[k].steps)) + 1;
    const frames = linked ? Math.max(most, 2) : most, divided = film.divided ? "   (xₜ / √(α² + σ²))" : "";
    const asked = this.way(this.moving[0]).label, seeds = Array.from({ length: n }, (_, i) => seed + i);
    const labels = this.model.classes.length ? Uint16Array.from(seeds, (each) => this.lab.label(each, asked)) : null;
    const panels = original.panels.map((panel, k) => {
      if (!this.ways[k]) return { ...panel, order: new Array(frames).fill(0) };
      const levels = this.levels(k), { sampler, steps } = this.ways[k];
      const shots = levels.map((level, j) => ({
        x: new Float32Array(2 * n), x0: new Float32Array(2 * n), level,
        caption: `t = ${digits(level.t)},  σ = ${digits(level.sigma)},  step ${j} of ${steps}${divided}`,
      }));
      const order = linked ? byTime(levels.map(({ t }) => t), frames) : [...levels.keys()];
      const starts = seeds.flatMap((each) => this.shown(this.lab.start(each, steps), levels[0]));
      const title = `${sampler}, ${this.counted(steps)}${linked ? "" : ", sampled in this page"}`;
      return { title, shots, order, labels, turns: turnsOf(Float32Array.from(starts)), count: 0 };
    });
    return { panels, frames };
  }
}
