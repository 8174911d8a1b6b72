// What a page carries, unpacked: numbers from base64, and the shots of every panel.

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const floats = (text) => new Float32Array(bytes(text).buffer);

/** Return the levels of a grid, float64 triples (t, alpha, sigma). */
function levelsOf(text) {
  const numbers = new Float64Array(bytes(text).buffer), levels = [];
  for (let k = 0; k < numbers.length; k += 3) {
    levels.push({ t: numbers[k], alpha: numbers[k + 1], sigma: numbers[k + 2] });
  }
  return levels;
}

/** Return points (x, y, x, y, …) that are kept as 16 bits of the way across their box. */
function pointsOf({ data, box: [left, right, low, high] }) {
  const steps = new Uint16Array(bytes(data).buffer), points = new Float32Array(steps.length);
  for (let k = 0; k < steps.length; k += 2) {
    points[k] = left + ((right - left) * steps[k]) / 65535;
    points[k + 1] = low + ((high - low) * steps[k + 1]) / 65535;
  }
  return points;
}

/** Return a panel with its shots unpacked: {x, x0, field, caption, level}; of images, {caption, level} and a sheet. */
function panelOf(carried) {
  const shots = carried.shots.map(({ x, x0, field, caption, level }) => ({
    x: x && pointsOf(x),
    x0: x0 && pointsOf(x0),
    field: field && pointsOf(field),
    caption,
    level: level && { t: level[0], alpha: level[1], sigma: level[2] },
  }));
  const labels = carried.labels && new Uint16Array(bytes(carried.labels).buffer);
  return { ...carried, shots, labels, turns: carried.turns && bytes(carried.turns) };
}

/** Return "0.500": three significant digits, as Python's #.3g writes them. */
function digits(value) {
  if (value === 0) return "0.00";
  const text = value.toPrecision(3);
  if (!text.includes("e")) return Math.abs(value) < 1e-4 ? short(value) : text;
  return short(value);
}

function short(value) {
  const [mantissa, power] = value.toExponential(2).split("e"), size = Math.abs(Number(power));
  return `${mantissa}e${Number(power) < 0 ? "-" : "+"}${String(size).padStart(2, "0")}`;
}

/** Return which shot each frame shows when the clock runs evenly from the first time to the last: the one reached. */
function byTime(times, frames) {
  const first = times[0], last = times.at(-1);
  return Array.from({ length: frames }, (_, k) => {
    const now = first + ((last - first) * k) / (frames - 1);
    return times.filter((time) => time >= now - 1e-9).length - 1;
  });
}
