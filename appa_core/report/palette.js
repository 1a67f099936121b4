"use strict";

/** Colour palettes, colour scales and numbers as text. */
const Palette = (() => {
  // Anchors in OKLCH (lightness, chroma, hue in degrees). Lightness is monotonic, or symmetric
  // for the diverging palette, so the order survives colour blindness and grey printing.
  const ANCHORS = {
    field: [
      [0.27, 0.09, 268],
      [0.38, 0.14, 278],
      [0.48, 0.16, 310],
      [0.58, 0.16, 350],
      [0.68, 0.15, 25],
      [0.78, 0.14, 60],
      [0.87, 0.13, 88],
      [0.95, 0.09, 105],
    ],
    spread: [
      [0.97, 0.01, 180],
      [0.89, 0.05, 180],
      [0.77, 0.08, 190],
      [0.63, 0.1, 215],
      [0.47, 0.11, 250],
      [0.32, 0.1, 280],
    ],
    diverging: [
      [0.34, 0.11, 260],
      [0.5, 0.13, 252],
      [0.69, 0.1, 240],
      [0.86, 0.05, 230],
      [0.97, 0, 90],
      [0.87, 0.07, 75],
      [0.71, 0.13, 58],
      [0.52, 0.14, 42],
      [0.36, 0.1, 33],
    ],
  };

  /** OKLab to sRGB bytes (Ottosson 2020). */
  function toBytes([lightness, a, b]) {
    const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
    const linear = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ];
    return linear.map((x) => {
      const v = Math.min(Math.max(x, 0), 1);
      return Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
    });
  }

  /** Table of 256 colours, interpolated between the anchors in OKLab. */
  function table(anchors) {
    const labs = anchors.map(([lightness, chroma, hue]) => {
      const angle = (hue * Math.PI) / 180;
      return [lightness, chroma * Math.cos(angle), chroma * Math.sin(angle)];
    });
    return Array.from({ length: 256 }, (_, i) => {
      const position = (i / 255) * (labs.length - 1);
      const low = Math.min(Math.floor(position), labs.length - 2);
      const share = position - low;
      return toBytes(labs[low].map((x, k) => x + share * (labs[low + 1][k] - x)));
    });
  }

  const TABLES = Object.fromEntries(Object.entries(ANCHORS).map(([k, v]) => [k, table(v)]));
  const packed = Object.fromEntries(
    Object.entries(TABLES).map(([name, colours]) => [
      name,
      Uint32Array.from(colours, ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r),
    ]),
  );

  /** Distance between about `count` ticks over a range: 1, 2, 2.5 or 5 times a power of ten. */
  function tickStep(low, high, count) {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  }

  /** Round ticks within a range. */
  function ticks(low, high, count) {
    const step = tickStep(low, high, count);
    const first = Math.ceil(low / step - 1e-6);
    const last = Math.floor(high / step + 1e-6);
    const isWhole = (x) => Math.abs(x - Math.round(x)) < 1e-6;
    let decimals = 0;
    while (decimals < 9 && !isWhole(step * 10 ** decimals)) decimals++;
    return Array.from({ length: last - first + 1 }, (_, i) => {
      const value = (first + i) * step;
      return { value, text: (value || 0).toFixed(decimals).replace("-", "−") };
    });
  }

  /** Colour scale over round numbers around [low, high]; `signed` makes zero its middle. */
  function scale(name, low, high, signed = false) {
    if (signed) [low, high] = [-Math.max(-low, high, 1e-9), Math.max(-low, high, 1e-9)];
    if (!(high > low)) high = low + (Math.abs(low) * 1e-3 || 1);
    const step = tickStep(low, high, 16);
    return {
      name,
      colours: TABLES[name],
      packed: packed[name],
      low: Math.floor(low / step + 1e-6) * step,
      high: Math.ceil(high / step - 1e-6) * step,
    };
  }

  /** Three significant digits. */
  function number(value) {
    if (value === null || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0";
    const digits = Math.min(Math.max(2 - Math.floor(Math.log10(size)), 0), 6);
    const text = size >= 1e-4 && size < 1e7 ? value.toFixed(digits) : value.toExponential(2);
    return text.replace("-", "−");
  }

  return { scale, ticks, number };
})();
