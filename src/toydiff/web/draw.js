// What a panel shows, drawn on a canvas: dots, a density, arrows, paths, a field of arrows; or tiles of images.

const BINS = 160; // of a density across and up
const FEW = 300; // arrows and paths at most: more would be a thicket

/** A panel on its canvas. `look` is {layers: Set, colour, colours, limits, divided}, the same for all panels. */
class Stage {
  constructor(canvas, film) {
    this.canvas = canvas;
    this.film = film;
    this.pen = canvas.getContext("2d");
  }

  /** Give the canvas as many pixels as the screen has where it lies. */
  fit() {
    const side = Math.round(this.canvas.clientWidth * Math.min(3, window.devicePixelRatio || 1)) || this.film.size;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    this.side = side;
    this.unit = side / 720; // lengths below are meant for 720 pixels
  }

  /** Return where a point in data units lies on the canvas, in pixels; and back. */
  place(x, y) {
    const [left, right, low, high] = this.film.limits;
    return [((x - left) / (right - left)) * this.side, ((high - y) / (high - low)) * this.side];
  }

  point(across, down) {
    const [left, right, low, high] = this.film.limits;
    return [left + across * (right - left), high - down * (high - low)];
  }

  clear(paper) {
    this.fit();
    this.pen.globalAlpha = 1;
    this.pen.fillStyle = paper;
    this.pen.fillRect(0, 0, this.side, this.side);
  }

  dots(points, shades, radius, alpha) {
    const { pen } = this;
    pen.globalAlpha = alpha;
    for (const [shade, members] of shades) {
      pen.fillStyle = shade;
      pen.beginPath();
      for (const k of members) {
        const [x, y] = this.place(points[2 * k], points[2 * k + 1]);
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 2 * Math.PI);
      }
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  /** Draw the way from each point of `from` to `to`, with a head or without, for the members of every shade. */
  lines(from, to, shades, width, alpha, head = 0, every = 1) {
    const { pen } = this;
    pen.globalAlpha = alpha;
    pen.lineWidth = width;
    pen.lineCap = "round";
    for (const [shade, members] of shades) {
      pen.strokeStyle = shade;
      pen.beginPath();
      for (const k of members) {
        if (k % every) continue;
        const [x, y] = this.place(from[2 * k], from[2 * k + 1]), [u, v] = this.place(to[2 * k], to[2 * k + 1]);
        pen.moveTo(x, y);
        pen.lineTo(u, v);
        const size = Math.min(head, Math.hypot(u - x, v - y) / 2);
        if (size < 1) continue;
        const angle = Math.atan2(v - y, u - x);
        for (const turn of [2.7, -2.7]) {
          pen.moveTo(u, v);
          pen.lineTo(u + size * Math.cos(angle + turn), v + size * Math.sin(angle + turn));
        }
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  /** Draw how many points lie where: the root of their share of the `peak`, from paper through blue to ink. */
  density(points, peak, { paper, blue, ink }) {
    const shares = sharesOf(points, this.film.limits), image = new ImageData(BINS, BINS);
    const stops = [[0, paper, 0], [0.06, paper, 0.6], [0.6, blue, 1], [1, ink, 1]].map(([at, c, a]) => [at, rgb(c), a]);
    for (let row = 0; row < BINS; row++) {
      for (let column = 0; column < BINS; column++) {
        const value = Math.min(1, Math.sqrt(shares[row * BINS + column] / peak));
        const k = Math.max(1, stops.findIndex(([at]) => at >= value));
        const [[a, from, fade], [b, to, full]] = [stops[k - 1], stops[k]], w = (value - a) / (b - a);
        const start = 4 * ((BINS - 1 - row) * BINS + column);
        for (let c = 0; c < 3; c++) image.data[start + c] = from[c] + w * (to[c] - from[c]);
        image.data[start + 3] = 255 * (fade + w * (full - fade));
      }
    }
    const small = new OffscreenCanvas(BINS, BINS);
    small.getContext("2d").putImageData(image, 0, 0);
    this.pen.imageSmoothingEnabled = true;
    this.pen.drawImage(small, 0, 0, this.side, this.side);
  }

  /** Draw the tiles of one frame, cut from the sheet that has them all. */
  tiles(picture, { count, columns, height, width, across }, frame) {
    const rows = Math.ceil(count / columns), gap = Math.max(2, Math.round(4 * this.unit));
    const zoom = Math.min(
      (this.side - (columns - 1) * gap) / (columns * width), (this.side - (rows - 1) * gap) / (rows * height),
    );
    const [w, h] = [zoom * width, zoom * height];
    const [left, top] = [(this.side - columns * (w + gap) + gap) / 2, (this.side - rows * (h + gap) + gap) / 2];
    const [x, y] = [(frame % across) * columns * width, Math.floor(frame / across) * rows * height];
    this.pen.imageSmoothingEnabled = false;
    for (let k = 0; k < count; k++) {
      const [column, row] = [k % columns, Math.floor(k / columns)];
      this.pen.drawImage(
        picture, x + column * width, y + row * height, width, height,
        Math.round(left + column * (w + gap)), Math.round(top + row * (h + gap)), Math.round(w), Math.round(h),
      );
    }
  }
}

/** Return the BINS × BINS shares of points within the limits, smoothed by a Gaussian that suits their number. */
function sharesOf(points, [left, right, low, high]) {
  const counts = new Float64Array(BINS * BINS), n = points.length / 2;
  for (let k = 0; k < points.length; k += 2) {
    const column = Math.floor(((points[k] - left) / (right - left)) * BINS);
    const row = Math.floor(((points[k + 1] - low) / (high - low)) * BINS);
    if (column >= 0 && column < BINS && row >= 0 && row < BINS) counts[row * BINS + column] += 1 / n;
  }
  const blur = Math.min(6, Math.max(1.4, 1.4 * (10000 / n) ** (1 / 4))), reach = Math.ceil(3 * blur);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-((k - reach) ** 2) / (2 * blur ** 2)));
  const total = weights.reduce((a, b) => a + b);
  const smooth = (from, step, other) => {
    const out = new Float64Array(BINS * BINS);
    for (let line = 0; line < BINS; line++) {
      for (let i = 0; i < BINS; i++) {
        let sum = 0;
        for (let j = Math.max(0, i - reach); j <= Math.min(BINS - 1, i + reach); j++) {
          sum += weights[j - i + reach] * from[line * other + j * step];
        }
        out[line * other + i * step] = sum / total;
      }
    }
    return out;
  };
  return smooth(smooth(counts, 1, BINS), BINS, 1);
}

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
const css = (table, k) => `rgb(${table[3 * k]} ${table[3 * k + 1]} ${table[3 * k + 2]})`;

/** Return which of 256 hues a point gets by the direction in which it starts. */
function turnsOf(points) {
  const n = points.length / 2, turns = new Uint8Array(n);
  let [x, y] = [0, 0];
  for (let k = 0; k < n; k++) [x, y] = [x + points[2 * k] / n, y + points[2 * k + 1] / n];
  for (let k = 0; k < n; k++) {
    const turn = Math.atan2(points[2 * k + 1] - y, points[2 * k] - x) / (2 * Math.PI);
    turns[k] = Math.round(256 * turn) & 255;
  }
  return turns;
}

/** Return [[shade, members], …]: the colours of a panel's points, and which points have them. */
function shadesOf(panel, shot, colour, paint, count) {
  const groups = new Map(), add = (shade, k) => (groups.get(shade) ?? groups.set(shade, []).get(shade)).push(k);
  const everyone = (shade) => [[shade, Array.from({ length: count }, (_, k) => k)]];
  if (colour === "class" && panel.labels) {
    for (let k = 0; k < count; k++) add(paint.classes[panel.labels[k]], k);
  } else if (panel.still) {
    return everyone(paint.data);
  } else if (colour === "t" && shot.level) {
    const turn = 0.68 + Math.min(1, Math.max(0, shot.level.t || 0)) * (0.14 - 0.68); // clean is blue, noise is orange
    return everyone(css(paint.hues, Math.round(256 * turn)));
  } else {
    for (let k = 0; k < count; k++) add(css(paint.hues, panel.turns[k]), k);
  }
  return [...groups];
}
