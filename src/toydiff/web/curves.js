// The schedule over time, ᾱ = α² and σ, with a marker where each panel is.

/** Return an SVG element with attributes. */
function shape(name, attributes, text = "") {
  const element = document.createElementNS(byId("curves").namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** The picture of the curves. Where σ exceeds 1.5 it is drawn on a logarithmic scale, which its name says. */
class Curves {
  constructor(svg, { t, alpha, sigma }, panels) {
    const largest = Math.max(...sigma), smallest = Math.min(...sigma.filter((each) => each > 0));
    this.logarithmic = largest > 1.5;
    this.height = (value) => {
      if (!this.logarithmic) return value;
      return Math.log(Math.max(value, smallest) / smallest) / Math.log(largest / smallest);
    };
    this.across = (time) => 30 + 262 * time;
    this.down = (share) => 132 - 116 * share;
    for (const share of [0, 0.5, 1]) {
      svg.append(shape("line", { x1: 30, x2: 292, y1: this.down(share), y2: this.down(share), class: "hairline" }));
      svg.append(shape("text", { x: 24, y: this.down(share) + 4, "text-anchor": "end" }, String(share)));
      const words = share === 0.5 ? "t" : String(share);
      svg.append(shape("text", { x: this.across(share), y: 150, "text-anchor": "middle" }, words));
    }
    const line = (heights) => t.map((time, k) => `${this.across(time).toFixed(2)},${this.down(heights[k]).toFixed(2)}`);
    svg.append(shape("polyline", { points: line(alpha.map((a) => a * a)).join(" "), class: "alpha" }));
    svg.append(shape("polyline", { points: line(sigma.map(this.height)).join(" "), class: "sigma" }));
    const scale = this.logarithmic ? `σ (log: ${digits(smallest)} to ${digits(largest)})` : "σ";
    this.names = { alpha: "ᾱ", sigma: scale };
    this.markers = panels.map((_, k) => {
      const group = shape("g", { class: `marker marker-${k}` });
      group.line = group.appendChild(shape("line", { y1: 10, y2: 132 }));
      group.alpha = group.appendChild(shape("circle", { r: 4.5, class: "alpha" }));
      group.sigma = group.appendChild(shape("circle", { r: 4.5, class: "sigma" }));
      return svg.appendChild(group);
    });
  }

  /** Move the marker of a panel to a level, or hide it where there is none. */
  mark(k, level) {
    const marker = this.markers[k], there = level && level.t >= 0;
    marker.style.display = there ? "" : "none";
    if (!there) return;
    const x = this.across(level.t);
    for (const name of ["x1", "x2"]) marker.line.setAttribute(name, x);
    for (const [name, height] of [["alpha", level.alpha ** 2], ["sigma", this.height(level.sigma)]]) {
      marker[name].setAttribute("cx", x);
      marker[name].setAttribute("cy", this.down(height));
    }
  }
}
