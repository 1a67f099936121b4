"use strict";

/** Map panels: coloured fields on the globe with coastlines, a marker and a colour bar. */
const Maps = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MISSING_COLOUR = 0xff9a9a9a; // grey: cells without a value
  const RASTER_WIDTH = 720; // pixels; a wider canvas shows the same raster, stretched
  const scales = new Map();
  let geometry = null;

  const projections = Projections.all(Data.report.latitudes, Data.report.longitudes);

  /** What all panels of one size and view share: paths, pixel lookup, raster canvas. */
  function geometryFor(cssWidth, { projection, centre }) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const key = `${cssWidth} ${ratio} ${projection} ${centre}`;
    if (geometry && geometry.key === key) return geometry;
    const shape = projections[projection];
    const width = Math.round(cssWidth * ratio);
    const height = Math.round(width / shape.aspect);
    const rasterWidth = Math.min(width, RASTER_WIDTH);
    const rasterHeight = Math.round(rasterWidth / shape.aspect);
    const raster = document.createElement("canvas");
    [raster.width, raster.height] = [rasterWidth, rasterHeight];
    const { latitudes, longitudes } = Data.report;
    geometry = {
      key,
      ratio,
      centre,
      width,
      height,
      raster,
      projection: shape,
      lookup: Geo.lookup(shape, rasterWidth, rasterHeight, centre, latitudes, longitudes),
      image: raster.getContext("2d").createImageData(rasterWidth, rasterHeight),
      outline: Geo.outline(shape, width, height),
      graticule: Geo.graticule(shape, width, height, centre),
      coast: Geo.coast(Data.coastlines, shape, width, height, centre),
    };
    return geometry;
  }

  /** Fill the shared raster with the colours of a field. */
  function paint(values, scale, smooth) {
    const { lookup, image, raster } = geometry;
    const { corners, shares } = lookup;
    const pixels = new Uint32Array(image.data.buffer);
    const factor = 255 / (scale.high - scale.low);
    for (let p = 0; p < pixels.length; p++) {
      const first = corners[4 * p];
      if (first < 0) {
        pixels[p] = 0;
        continue;
      }
      let [right, up] = [shares[2 * p], shares[2 * p + 1]];
      if (!smooth) [right, up] = [Math.round(right), Math.round(up)];
      const south = values[first] + right * (values[corners[4 * p + 1]] - values[first]);
      const west = values[corners[4 * p + 2]];
      const north = west + right * (values[corners[4 * p + 3]] - west);
      const value = south + up * (north - south);
      if (Number.isNaN(value)) {
        pixels[p] = MISSING_COLOUR;
        continue;
      }
      const level = ((value - scale.low) * factor + 0.5) | 0;
      pixels[p] = scale.packed[level < 0 ? 0 : level > 255 ? 255 : level];
    }
    raster.getContext("2d").putImageData(image, 0, 0);
  }

  function drawLines(context) {
    const { ratio } = geometry;
    const stroke = (path, style, width) => {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.stroke(path);
    };
    context.lineJoin = "round";
    stroke(geometry.graticule, "rgba(0,0,0,0.16)", 0.6);
    stroke(geometry.coast, "rgba(255,255,255,0.55)", 2.2);
    stroke(geometry.coast, "rgba(10,10,20,0.9)", 0.8);
  }

  function drawMarker(context, site) {
    const { ratio, width, height, centre } = geometry;
    const [latitude, longitude] = [
      Data.report.latitudes[site.row],
      Data.report.longitudes[site.column],
    ];
    const position = geometry.projection.forward(Geo.wrap(longitude - centre), latitude);
    if (!position) return;
    const [u, v] = position;
    for (const [style, line] of [
      ["#fff", 4],
      ["#111", 1.8],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = line * ratio;
      context.beginPath();
      context.arc(u * width, v * height, 6 * ratio, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** Draw one panel's map. */
  function draw(canvas, values, scale, view) {
    const frame = canvas.parentElement;
    frame.style.aspectRatio = projections[view.projection].aspect;
    const { width, height } = geometryFor(frame.clientWidth, view);
    if (canvas.width !== width || canvas.height !== height)
      [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    paint(values, scale, view.smooth);
    context.save();
    context.clip(geometry.outline);
    context.imageSmoothingQuality = "high";
    context.drawImage(geometry.raster, 0, 0, width, height);
    drawLines(context);
    context.restore();
    context.strokeStyle = "rgba(110,115,125,0.9)";
    context.lineWidth = geometry.ratio;
    context.stroke(geometry.outline);
    drawMarker(context, view.site);
  }

  /** Grid point under a pointer, or null off the map. */
  function pointAt(canvas, event, { projection, centre }) {
    const box = canvas.getBoundingClientRect();
    const place = projections[projection].inverse(
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
    if (!place) return null;
    const { latitudes, longitudes } = Data.report;
    return Geo.nearest(latitudes, longitudes, place[1], place[0] + centre);
  }

  const OWN_SCALES = new Set(["error", "spread", "anomaly"]);

  /** Scale of a panel: over all leads, or over one for differences and spread where `rescale`. */
  function scaleOf(channel, kind, lead, rescale) {
    if (kind === "probability") return Palette.scale("spread", 0, 100);
    const role = OWN_SCALES.has(kind) ? kind : "field";
    const single = rescale && role !== "field";
    const key = `${channel} ${role} ${single ? lead : "all"}`;
    if (!scales.has(key)) scales.set(key, makeScale(channel, role, single ? lead : null));
    return scales.get(key);
  }

  function makeScale(channel, role, lead) {
    const data = Data.channel(channel);
    const whole = role === "field" ? [data.ensemble, data.truth].filter(Boolean) : [data[role]];
    const arrays = lead === null ? whole : [Data.field(channel, role, lead)];
    const [low, high] = Data.quantiles(arrays, 0.002, 0.998);
    const [least, most] = Data.quantiles(arrays, 0, 1);
    const signed = role === "error" || role === "anomaly" || (role === "field" && data.block.signed);
    const palette = signed ? "diverging" : role;
    const scale = Palette.scale(palette, role === "spread" ? 0 : low, high, signed);
    return { ...scale, below: least < scale.low, above: most > scale.high };
  }

  function element(parent, name, attributes, text) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  /** Colour bar with ticks and units; an end is pointed where values go beyond the scale. */
  function drawBar(holder, scale, units, id) {
    const width = holder.clientWidth;
    const [left, right, top, bottom] = [16, width - 58, 2, 14];
    const svg = document.createElementNS(SVG, "svg");
    const attributes = {
      width,
      height: 32,
      viewBox: `0 0 ${width} 32`,
      class: "bar",
      role: "img",
    };
    for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
    svg.setAttribute(
      "aria-label",
      `Colours from ${Palette.number(scale.low)} to ${Palette.number(scale.high)} ${units}`,
    );
    const gradient = element(svg, "linearGradient", { id: `gradient-${id}` });
    const colour = (i) => `rgb(${scale.colours[i].join(",")})`;
    for (let i = 0; i <= 32; i++) {
      element(gradient, "stop", { offset: i / 32, "stop-color": colour(Math.min(8 * i, 255)) });
    }
    element(svg, "rect", {
      x: left,
      y: top,
      width: right - left,
      height: bottom - top,
      fill: `url(#gradient-${id})`,
    });
    const point = (from, to) => `M${from} ${top}L${to} ${(top + bottom) / 2}L${from} ${bottom}Z`;
    if (scale.below) element(svg, "path", { d: point(left, left - 10), fill: colour(0) });
    if (scale.above) element(svg, "path", { d: point(right, right + 10), fill: colour(255) });
    for (const { value, text } of Palette.ticks(
      scale.low,
      scale.high,
      Math.max(3, (right - left) / 58),
    )) {
      const x = left + ((value - scale.low) / (scale.high - scale.low)) * (right - left);
      element(svg, "line", { x1: x, x2: x, y1: bottom, y2: bottom + 4, class: "tick" });
      element(svg, "text", { x, y: bottom + 15, "text-anchor": "middle" }, text);
    }
    element(svg, "text", { x: right + 14, y: bottom - 2, class: "bar-units" }, units);
    holder.replaceChildren(svg);
  }

  return { draw, drawBar, pointAt, scaleOf, projections, element, SVG };
})();
