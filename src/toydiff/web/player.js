// The player: what is on, which frame of it, and the controls.

const byId = (id) => document.getElementById(id);
const film = JSON.parse(byId("carried").textContent);
const LAYERS = ["data", "density", "field", "paths", "arrows", "scatter"]; // in the order they are drawn
const KEYS = { s: "scatter", d: "density", p: "paths", a: "arrows", e: "field", r: "data" };
const SPEEDS = [...byId("speed").options].map((option) => Number(option.value));

const original = { panels: film.panels.map(panelOf), frames: film.frames };
const view = { reel: original, frame: 0, playing: false, since: 0, speed: 1, layers: new Set(), colour: film.colour };
const data = film.data && pointsOf(film.data);
const everyReal = data && Array.from({ length: data.length / 2 }, (_, k) => k);
const peak = data && Math.max(...sharesOf(data, film.limits));
let paint = null; // the colours of the theme
const stages = original.panels.map((panel, k) => stageOf(panel, k));
const sheets = original.panels.map(({ sheet }) => sheet && Object.assign(new Image(), { src: sheet }));
const curves = film.curves && new Curves(byId("curves"), film.curves, original.panels);

/** Make the figure of a panel: a title, a canvas, a caption. */
function stageOf(panel, k) {
  const figure = byId("stage").appendChild(document.createElement("figure"));
  const title = figure.appendChild(document.createElement("h2"));
  const canvas = figure.appendChild(document.createElement("canvas"));
  const caption = figure.appendChild(document.createElement("figcaption"));
  canvas.id = `panel-${k}`;
  canvas.setAttribute("role", "img");
  return Object.assign(new Stage(canvas, film), { figure, title, caption });
}

const shotOf = (panel) => panel.shots[panel.order[Math.min(view.frame, panel.order.length - 1)]];

/** Draw the frame that is on. */
function draw() {
  const { reel, frame } = view;
  byId("scrub").max = reel.frames - 1;
  byId("scrub").value = frame;
  byId("where").textContent = `${frame + 1} / ${reel.frames}`;
  byId("first").disabled = byId("back").disabled = frame === 0;
  byId("last").disabled = byId("forward").disabled = frame === reel.frames - 1;
  const said = [];
  reel.panels.forEach((panel, k) => {
    const shot = shotOf(panel), stage = stages[k];
    stage.title.textContent = panel.title;
    stage.title.hidden = !panel.title && reel.panels.length === 1;
    stage.caption.textContent = shot.caption;
    stage.canvas.setAttribute("aria-label", [panel.title || film.title, shot.caption].filter(Boolean).join(": "));
    stage.clear(paint.paper);
    if (panel.tiles) stage.tiles(sheets[k], panel.tiles, panel.order[frame]);
    else drawPoints(stage, panel, shot);
    if (lab) lab.drawOn(stage, k, shot);
    if (curves) curves.mark(k, shot.level);
    said.push(shot.caption);
    if (shot.level) said.levels = [...(said.levels ?? []), [panel.title, shot.level]];
  });
  byId("scrub").setAttribute("aria-valuetext", `${frame + 1} of ${reel.frames}: ${said.filter(Boolean).join("; ")}`);
  byId("level").textContent = levelsSaid(said.levels ?? []);
}

function drawPoints(stage, panel, shot) {
  const count = panel.count ?? shot.x.length / 2, { layers } = view, { unit } = stage;
  const shades = shadesOf(panel, shot, view.colour, paint, count), every = Math.ceil(count / FEW);
  const within = (low, value, high) => Math.min(high, Math.max(low, value));
  const area = within(1, 300 / Math.sqrt(count), 30), alpha = within(0.25, 45 / Math.sqrt(count), 0.85);
  const radius = 0.93 * Math.sqrt(area) * unit; // as in the films
  if (layers.has("data") && data) stage.dots(data, [[paint.muted, everyReal]], 1.5 * unit, 0.35);
  if (layers.has("density")) stage.density(shot.x.subarray(0, 2 * count), peak, paint);
  if (layers.has("paths") && !panel.still) {
    for (let k = 1; k <= view.frame; k++) {
      const [from, to] = [panel.shots[panel.order[k - 1]], panel.shots[panel.order[k]]];
      if (from === to) continue;
      stage.lines(from.x, to.x, shadesOf(panel, to, view.colour, paint, count), 1.1 * unit, 0.45, 0, every);
    }
  }
  if (layers.has("arrows") && shot.x0) stage.lines(shot.x, shot.x0, shades, 1.1 * unit, 0.6, 7 * unit, every);
  if (layers.has("scatter")) stage.dots(shot.x, shades, radius, alpha);
  if (layers.has("field") && shot.field) {
    const arrows = Array.from({ length: shot.field.length / 2 }, (_, k) => k);
    const [from, to] = [-0.5, 0.5].map((side) => shot.field.map((each, k) => film.cells[k] + side * each));
    stage.lines(from, to, [[paint.blue, arrows]], 1.5 * unit, 1, 6 * unit);
  }
}

function levelsSaid(levels) {
  const same = levels.every(([, level]) => level.t === levels[0][1].t);
  return (same ? levels.slice(0, 1) : levels).map(([title, level]) => {
    const snr = level.sigma === 0 ? "∞" : level.alpha === 0 ? "−∞" : logSNR(level).toFixed(2).replace("-", "−");
    const facts = { t: digits(level.t), ᾱ: digits(level.alpha ** 2), σ: digits(level.sigma), "log\u00a0SNR": snr };
    const numbers = Object.entries(facts).map((fact) => fact.join("\u00a0=\u00a0")).join(", ");
    return same ? numbers : `${title}: ${numbers}`;
  }).join("\n");
}

// ── playing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function show(frame) {
  view.frame = Math.min(view.reel.frames - 1, Math.max(0, frame));
  view.since = performance.now();
  draw();
}

function play(playing) {
  view.playing = playing;
  byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  if (!playing) return;
  if (view.frame === view.reel.frames - 1 && !byId("loop").checked) show(0);
  view.since = performance.now();
  requestAnimationFrame(tick);
}

/** Return for how many milliseconds a frame stands: the first and the last longer than the others. */
function duration(frame) {
  const held = frame === view.reel.frames - 1 ? film.hold[1] : frame === 0 ? film.hold[0] : 0;
  return (1000 * (1 / film.fps + held)) / view.speed;
}

function tick(now) {
  if (!view.playing) return;
  let moved = false;
  for (let k = 0; k < view.reel.frames && now - view.since >= duration(view.frame); k++) {
    const late = now - view.since - duration(view.frame);
    view.since = late > 1000 ? now : now - late; // after a nap it does not run to catch up
    const end = view.frame === view.reel.frames - 1;
    if (end && !byId("loop").checked) return play(false);
    view.frame = end ? 0 : view.frame + 1;
    moved = true;
  }
  if (moved) draw();
  requestAnimationFrame(tick);
}

/** Put another film on, at the same place in it. */
function change(reel) {
  const share = view.frame / Math.max(1, view.reel.frames - 1);
  view.reel = reel;
  view.frame = Math.round(share * (reel.frames - 1));
  offer();
  draw();
}

// ── controls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function step(by) {
  play(false);
  show(view.frame + by);
}

function faster(by) {
  const k = Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(view.speed) + by));
  view.speed = SPEEDS[k];
  byId("speed").value = byId("speed").options[k].value;
}

/** Offer the layers and colours that what is on can be shown with. */
function offer() {
  const { panels } = view.reel, some = (name) => panels.some((panel) => panel.shots.some((shot) => shot[name]));
  const [real, field] = [data !== null, some("field")];
  const there = { scatter: true, density: real, paths: !field, arrows: some("x0"), field, data: real };
  for (const label of document.querySelectorAll("[data-layer]")) label.hidden = !there[label.dataset.layer];
  const colours = { start: "by where it starts" };
  if (panels.some((panel) => panel.labels)) colours.class = "by class";
  if (some("level")) colours.t = "by time t";
  byId("colour").replaceChildren(...Object.entries(colours).map(([value, words]) => new Option(words, value)));
  if (!(view.colour in colours)) view.colour = "start";
  byId("colour").value = view.colour;
  byId("colour").closest("label").hidden = panels.every((panel) => panel.still);
}

function dress() {
  const asked = byId("theme").value, system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const name = asked === "auto" ? system : asked;
  document.documentElement.dataset.theme = name;
  const colours = film.colours[name];
  paint = { ...colours, hues: bytes(colours.hues) };
  if (view.frame >= 0) draw();
}

function listen() {
  byId("play").onclick = () => play(!view.playing);
  byId("first").onclick = () => step(-Infinity);
  byId("back").onclick = () => step(-1);
  byId("forward").onclick = () => step(1);
  byId("last").onclick = () => step(Infinity);
  byId("scrub").oninput = () => { play(false); show(Number(byId("scrub").value)); };
  byId("speed").onchange = () => { view.speed = Number(byId("speed").value); };
  byId("colour").onchange = () => { view.colour = byId("colour").value; draw(); };
  byId("theme").onchange = dress;
  for (const name of LAYERS) {
    byId(name).checked = view.layers.has(name);
    byId(name).onchange = () => { view.layers[byId(name).checked ? "add" : "delete"](name); draw(); };
  }
  const keys = {
    " ": () => play(!view.playing), ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-Infinity),
    End: () => step(Infinity), "+": () => faster(1), "=": () => faster(1), "-": () => faster(-1),
    l: () => byId("loop").click(),
  };
  for (const [key, name] of Object.entries(KEYS)) {
    keys[key] = () => byId(name).closest("label").hidden || byId(name).click();
  }
  document.addEventListener("keydown", (event) => {
    const { target, key } = event, own = target.closest("select, input[type=number]");
    const moves = target.type === "range" && /^(Arrow|Home|End)/.test(key);
    const presses = key === " " && target.closest("button, summary, input[type=checkbox]");
    const action = keys[key.length > 1 ? key : key.toLowerCase()];
    if (!action || own || moves || presses || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  new ResizeObserver(() => draw()).observe(byId("stage"));
}

async function begin() {
  const root = document.documentElement.style, pictorial = original.panels.some((panel) => panel.tiles);
  root.setProperty("--size", `${film.size}px`);
  const count = original.panels.length;
  root.setProperty("--panels", count > 4 ? 3 : Math.min(2, count)); // beside one another
  byId("stage").dataset.panels = count;
  byId("layers").hidden = pictorial;
  for (const element of document.querySelectorAll(".of-points")) element.hidden = pictorial;
  byId("schedule").hidden = !curves;
  if (curves) byId("sigma-name").textContent = curves.names.sigma;
  byId("theme").value = film.theme;
  view.layers = new Set(film.layers);
  await Promise.all(sheets.map((sheet) => sheet && sheet.decode()));
  offer();
  if (lab) lab.begin();
  listen();
  dress();
  document.body.dataset.ready = "yes";
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(true);
}

const lab = film.model && new Bench(new Lab(film.model));
byId("lab").hidden = !lab;
globalThis.toydiff = { film, view, Lab, lab: lab && lab.lab }; // for the curious at the console, and for tests
begin();
