// The forget set's means over the epochs, drawn; the same numbers stand in a table beside it.
const SVG = "http://www.w3.org/2000/svg";
const FRAME = { left: 44, right: 600, top: 14, bottom: 190 };
const DASHES = ["", "7 4", "2 3"];

function draw(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

const across = (i, n) => FRAME.left + ((FRAME.right - FRAME.left) * i) / Math.max(n - 1, 1);
const down = (share) => FRAME.bottom - (FRAME.bottom - FRAME.top) * Math.min(Math.max(share, 0), 1);

// `lines` are [name, values in 0..1 or null]; `limits` are [name, value].
function curve(epochs, lines, limits, description) {
  const svg = draw("svg", { viewBox: "0 0 720 224", class: "curve", role: "img", "aria-label": description });
  for (const share of [0, 0.5, 1]) svg.append(...level(share));
  for (const [name, value] of limits) svg.append(limit(value), side(name, value, "minor"));
  lines.forEach(([, values], number) => svg.append(...path(values, DASHES[number])));
  svg.append(...names(lines));
  epochs.forEach((epoch, i) => svg.append(
    draw("text", { x: across(i, epochs.length), y: 208, "text-anchor": "middle", class: "minor" }, epoch)));
  svg.append(draw("text", { x: FRAME.right + 12, y: 208, class: "minor" }, "epoch"));
  return svg;
}

function level(share) {
  const y = down(share);
  return [
    draw("line", { x1: FRAME.left, x2: FRAME.right, y1: y, y2: y, class: "axis" }),
    draw("text", { x: FRAME.left - 8, y: y + 4, "text-anchor": "end", class: "minor" }, `${share * 100}%`),
  ];
}

function limit(value) {
  const y = down(value);
  return draw("line", { x1: FRAME.left, x2: FRAME.right, y1: y, y2: y, class: "limit" });
}

function side(name, value, className = "") {
  return draw("text", { x: FRAME.right + 12, y: down(value) + 4, class: className }, name);
}

// What was not measured in an epoch leaves a gap in the dots, not a zero.
function path(values, dash) {
  const points = values.map((value, i) => [value, across(i, values.length)])
    .filter(([value]) => value !== null).map(([value, x]) => [x, down(value)]);
  const line = draw("polyline", { points: points.join(" "), class: "line", "stroke-dasharray": dash });
  return [line, ...points.map(([cx, cy]) => draw("circle", { cx, cy, r: 3, fill: "currentColor" }))];
}

// Names stand at the lines' ends, moved apart where these are close.
function names(lines) {
  const ends = lines.map(([name, values]) => [name, values.findLast((value) => value !== null)])
    .filter(([, value]) => value !== undefined).sort((a, b) => b[1] - a[1]);
  let above = -Infinity;
  return ends.map(([name, value]) => {
    above = Math.max(down(value) + 4, above + 14);
    return draw("text", { x: FRAME.right + 12, y: above }, name);
  });
}
