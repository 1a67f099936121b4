"use strict";

/** Line charts over lead time, as SVG. */
const Charts = (() => {
  const HOURS = [1, 2, 3, 6, 12, 24, 48, 72, 120, 240, 480];
  const { element } = Maps;

  function extent(series, reference) {
    const values = series.flatMap((s) => s.values).filter((v) => v !== null && Number.isFinite(v));
    if (reference !== undefined) values.push(reference);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
    return [low - margin, high + margin];
  }

  /** Ticks of lead time: a round number of hours apart. */
  function leadTicks(leads, count) {
    const [first, last] = [leads[0], leads[leads.length - 1]];
    const step = HOURS.find((hours) => (last - first) / hours <= count) || 720;
    const ticks = [];
    for (let hour = Math.ceil(first / step) * step; hour <= last; hour += step) ticks.push(hour);
    return ticks;
  }

  /** Path through the points; a missing value interrupts it. */
  function line(leads, values, x, y) {
    let [path, pen] = ["", "M"];
    values.forEach((value, i) => {
      if (value === null || !Number.isFinite(value)) {
        pen = "M";
        return;
      }
      path += `${pen}${x(leads[i]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    return path;
  }

  function axes(svg, frame, spec, x, y) {
    const { left, right, top, bottom } = frame;
    for (const { value, text } of Palette.ticks(...frame.range, (bottom - top) / 36)) {
      element(svg, "line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "grid" });
      element(svg, "text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, text);
    }
    for (const hour of leadTicks(spec.leads, (right - left) / 48)) {
      element(svg, "line", {
        x1: x(hour),
        x2: x(hour),
        y1: bottom,
        y2: bottom + 5,
        class: "tick",
      });
      element(svg, "text", { x: x(hour), y: bottom + 18, "text-anchor": "middle" }, hour);
    }
    element(svg, "line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "tick" });
    element(
      svg,
      "text",
      { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" },
      `${Data.report.hoursLabel} (h)`,
    );
    element(svg, "text", { x: 14, y: 13 }, spec.yLabel);
    if (spec.reference !== undefined) {
      element(svg, "line", {
        x1: left,
        x2: right,
        y1: y(spec.reference),
        y2: y(spec.reference),
        class: "reference",
      });
    }
    const now = x(spec.marker);
    element(svg, "line", { x1: now, x2: now, y1: top, y2: bottom, class: "marker" });
  }

  /** Names of the series with a sample of their line; a name shows once. */
  function legend(series) {
    const list = document.createElement("ul");
    list.className = "legend";
    const named = new Map(series.map((s) => [s.name, s]));
    for (const { name, style } of [...named.values()].sort(
      (a, b) => (a.order || 0) - (b.order || 0),
    )) {
      const item = document.createElement("li");
      const svg = document.createElementNS(Maps.SVG, "svg");
      for (const [key, value] of Object.entries({
        width: 30,
        height: 10,
        "aria-hidden": "true",
      })) {
        svg.setAttribute(key, value);
      }
      element(svg, "path", { d: "M1 5L29 5", class: `line ${style}` });
      item.append(svg, name);
      list.append(item);
    }
    return list;
  }

  /**
   * Draw a chart: `spec` has leads, series [{name, style, values}], yLabel, label, marker (a
   * lead), perhaps reference (a value with a line), and onPick(index of a lead) for clicks.
   */
  function draw(holder, spec) {
    const drawn = spec.series.filter((s) =>
      s.values.some((v) => v !== null && Number.isFinite(v)),
    );
    if (!drawn.length) {
      const empty = document.createElement("p");
      empty.className = "hint";
      empty.textContent = spec.empty;
      holder.replaceChildren(empty);
      return;
    }
    const width = Math.max(holder.clientWidth, 260);
    const height = width > 700 ? 340 : 280;
    const frame = {
      left: 58,
      right: width - 18,
      top: 24,
      bottom: height - 44,
      range: extent(drawn, spec.reference),
    };
    const [first, last] = [spec.leads[0], spec.leads[spec.leads.length - 1]];
    const x = (lead) =>
      frame.left + ((lead - first) / (last - first || 1)) * (frame.right - frame.left);
    const [low, high] = frame.range;
    const y = (value) =>
      frame.bottom - ((value - low) / (high - low)) * (frame.bottom - frame.top);
    const svg = document.createElementNS(Maps.SVG, "svg");
    for (const [key, value] of Object.entries({
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
    })) {
      svg.setAttribute(key, value);
    }
    svg.setAttribute("aria-label", spec.label);
    axes(svg, frame, spec, x, y);
    for (const { values, style } of drawn) {
      element(svg, "path", { d: line(spec.leads, values, x, y), class: `line ${style}` });
      if (spec.leads.length === 1)
        element(svg, "circle", { cx: x(first), cy: y(values[0]), r: 4, class: `line ${style}` });
    }
    svg.addEventListener("click", (event) => {
      const position =
        ((event.clientX - svg.getBoundingClientRect().left) * width) / svg.clientWidth;
      const distances = spec.leads.map((lead) => Math.abs(x(lead) - position));
      spec.onPick(distances.indexOf(Math.min(...distances)));
    });
    holder.replaceChildren(svg, legend(drawn));
  }

  return { draw };
})();
