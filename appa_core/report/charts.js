"use strict";

/** Charts as SVG: lines with bands, bars, linear or logarithmic axes. */
const Charts = (() => {
  const HOURS = [1, 2, 3, 6, 12, 24, 48, 72, 120, 240, 480];
  const { element } = Maps;
  const isNumber = (v) => v !== null && v !== undefined && Number.isFinite(v);

  /** Points of values over lead time. */
  const overLead = (values) => values.map((value, i) => [Data.report.leadHours[i], value]);

  function svgNode(attributes) {
    const svg = document.createElementNS(Maps.SVG, "svg");
    for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
    return svg;
  }

  /** Ticks of time: a round number of hours apart. */
  function hourTicks(first, last, count) {
    const step = HOURS.find((hours) => (last - first) / hours <= count) || 720;
    const ticks = [];
    for (let hour = Math.ceil(first / step) * step; hour <= last; hour += step) {
      ticks.push({ value: hour, text: String(hour) });
    }
    return ticks;
  }

  const plain = (value) => String(Number(value.toPrecision(3)));

  /** Powers of ten, and what lies between them where they are few. */
  function logTicks(low, high, count) {
    const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
    const every = Math.max(1, Math.ceil((last - first + 1) / count));
    const factors = last - first < 2 ? [1, 2, 5] : [1];
    const ticks = [];
    for (let power = first - 1; power <= last; power++) {
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (value < low || value > high || (factor === 1 && (power - first) % every)) continue;
        const text = Math.abs(power) > 3 ? `${factor}e${power}`.replace("-", "−") : plain(value);
        ticks.push({ value, text });
      }
    }
    return ticks;
  }

  /** Range of an axis around the values that it shows. */
  function rangeOf(values, axis) {
    if (axis.range) return axis.range;
    const shown = values.filter((v) => isNumber(v) && (!axis.log || v > 0));
    const [low, high] = [Math.min(...shown), Math.max(...shown)];
    if (axis.log) return [low / 1.15, high * 1.15];
    if (axis.tight) return [low, high > low ? high : low + 1];
    const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
    return [axis.zero ? Math.min(0, low) : low - margin, high + margin];
  }

  function scaleOf([low, high], log, from, to) {
    const f = log ? Math.log : (v) => v;
    return (value) => from + ((f(value) - f(low)) / (f(high) - f(low) || 1)) * (to - from);
  }

  /** Path through the points; a missing value interrupts it. */
  function line(points, x, y, log) {
    let [path, pen] = ["", "M"];
    for (const [at, value] of points) {
      if (!isNumber(value) || (log && value <= 0)) {
        pen = "M";
        continue;
      }
      path += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
    return path;
  }

  /** Outline of a band of [x, low, high]. */
  function bandPath(band, x, y) {
    const whole = band.filter(([, low, high]) => isNumber(low) && isNumber(high));
    if (whole.length < 2) return "";
    const up = whole.map(([at, low]) => [at, low]);
    const down = whole.map(([at, , high]) => [at, high]).reverse();
    return `${line([...up, ...down], x, y)}Z`;
  }

  function axes(svg, frame, spec, x, y) {
    const { left, right, top, bottom, rangeX, rangeY } = frame;
    const yTicks = spec.y.log ? logTicks : Palette.ticks;
    for (const { value, text } of yTicks(...rangeY, (bottom - top) / 36)) {
      element(svg, "line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "grid" });
      element(svg, "text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, text);
    }
    const xTicks = spec.x.hours ? hourTicks : spec.x.log ? logTicks : Palette.ticks;
    for (const { value, text } of spec.x.ticks || xTicks(...rangeX, (right - left) / 48)) {
      const at = { x1: x(value), x2: x(value), y1: bottom, y2: bottom + 5, class: "tick" };
      element(svg, "line", at);
      element(svg, "text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, text);
    }
    element(svg, "line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "tick" });
    const middle = { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" };
    element(svg, "text", middle, spec.x.label);
    element(svg, "text", { x: 14, y: 13 }, spec.y.label);
    for (const [from, to] of spec.references || []) {
      const ends = { x1: x(from[0]), y1: y(from[1]), x2: x(to[0]), y2: y(to[1]) };
      element(svg, "line", { ...ends, class: "reference" });
    }
    if (isNumber(spec.marker)) {
      const now = x(spec.marker);
      element(svg, "line", { x1: now, x2: now, y1: top, y2: bottom, class: "marker" });
    }
  }

  /** Names of the series with a sample of their line; a name shows once. */
  function legend(series) {
    const list = document.createElement("ul");
    list.className = "legend";
    const named = new Map(series.filter((s) => s.name).map((s) => [s.name, s]));
    const ordered = [...named.values()].sort((a, b) => (a.order || 0) - (b.order || 0));
    for (const { name, style } of ordered) {
      const item = document.createElement("li");
      const svg = svgNode({ width: 30, height: 10, "aria-hidden": "true" });
      element(svg, "path", { d: "M1 5L29 5", class: `line ${style}` });
      item.append(svg, name);
      list.append(item);
    }
    return list;
  }

  function drawBars(svg, spec, x, y, base) {
    for (const { from, to, value } of spec.bars || []) {
      const [left, right, top] = [x(from), x(to), y(value)];
      const box = { x: left + 0.5, width: Math.max(right - left - 1, 0.5), y: top, class: "bars" };
      element(svg, "rect", { ...box, height: Math.max(base - top, 0) });
    }
  }

  function drawSeries(svg, spec, x, y) {
    for (const { band, style } of spec.series.filter((s) => s.band)) {
      element(svg, "path", { d: bandPath(band, x, y), class: `band ${style}` });
    }
    for (const { points, style, dots } of spec.series) {
      element(svg, "path", { d: line(points, x, y, spec.y.log), class: `line ${style}` });
      const shown = points.filter(([, v]) => isNumber(v));
      for (const [at, value] of dots || shown.length === 1 ? shown : []) {
        element(svg, "circle", { cx: x(at), cy: y(value), r: 4, class: `line ${style}` });
      }
    }
  }

  function showEmpty(holder, text) {
    const empty = document.createElement("p");
    empty.className = "hint";
    empty.textContent = text;
    holder.replaceChildren(empty);
  }

  /**
   * Draw a chart; false where there is nothing to draw. `spec`: x and y {label, log, range, hours, tight, zero}; series {name, style,
   * points of [x, y], perhaps band of [x, low, high], dots, order}; perhaps bars {from, to,
   * value}, references [[x, y], [x, y]], marker (an x), onPick(x) for clicks; label for those
   * who do not see it; empty, what is said where there is nothing.
   */
  function draw(holder, spec) {
    const series = (spec.series || []).filter((s) => s.points.some(([, v]) => isNumber(v)));
    const bars = spec.bars || [];
    if (!series.length && !bars.length) {
      showEmpty(holder, spec.empty);
      return false;
    }
    const width = Math.max(holder.clientWidth, 260);
    const height = width > 700 ? 340 : 280;
    const points = [
      ...series.flatMap((s) => s.points.filter(([, v]) => isNumber(v))),
      ...series.flatMap((s) => (s.band || []).flatMap(([x, a, b]) => [[x, a], [x, b]])),
      ...bars.flatMap(({ from, to, value }) => [[from, 0], [to, value]]),
      ...(spec.references || []).flat(),
    ];
    const frame = { left: 58, right: width - 18, top: 24, bottom: height - 44 };
    frame.rangeX = rangeOf(points.map(([x]) => x), { tight: true, ...spec.x });
    frame.rangeY = rangeOf(points.map(([, y]) => y), spec.y);
    const x = scaleOf(frame.rangeX, spec.x.log, frame.left, frame.right);
    const y = scaleOf(frame.rangeY, spec.y.log, frame.bottom, frame.top);
    const svg = svgNode({ width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    svg.setAttribute("aria-label", spec.label);
    axes(svg, frame, spec, x, y);
    drawBars(svg, spec, x, y, frame.bottom);
    drawSeries(svg, { ...spec, series }, x, y);
    if (spec.onPick) {
      svg.classList.add("pick");
      svg.addEventListener("click", (event) => {
        const box = svg.getBoundingClientRect();
        const share = (event.clientX - box.left) / box.width;
        const [low, high] = frame.rangeX;
        const inside = (share * width - frame.left) / (frame.right - frame.left);
        spec.onPick(low + inside * (high - low));
      });
    }
    holder.replaceChildren(svg, legend(series));
    return true;
  }

  return { draw, overLead, isNumber };
})();
