"use strict";

/** The embedded fields: decoded when a channel is first shown, and what follows from them. */
const Data = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const report = read("report-data");
  const coastlines = read("report-coastlines");
  const leads = report.leadHours.length;
  const rows = report.latitudes.length;
  const columns = report.longitudes.length;
  const points = rows * columns;
  const decoded = new Map();

  /** Little-endian 16-bit codes in base64 to values in display units. */
  function decode(text, step, start) {
    const bytes = atob(text);
    const values = new Float32Array(bytes.length / 2);
    for (let i = 0; i < values.length; i++) {
      const code = bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1);
      values[i] = start + step * code;
    }
    return values;
  }

  /** Mean and standard deviation (divided by M - 1) over members, each (T, points). */
  function moments(ensemble, members) {
    const size = leads * points;
    const mean = new Float32Array(size);
    const spread = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let m = 0; m < members; m++) sum += ensemble[m * size + i];
      const centre = sum / members;
      let squares = 0;
      for (let m = 0; m < members; m++) squares += (ensemble[m * size + i] - centre) ** 2;
      mean[i] = centre;
      spread[i] = members > 1 ? Math.sqrt(squares / (members - 1)) : NaN;
    }
    return { mean, spread };
  }

  /** All arrays of a channel: truth, climatology (or null), mean, spread, error, ensemble. */
  function channel(index) {
    if (!decoded.has(index)) {
      const block = report.fields[index];
      const take = (name) =>
        block.arrays[name] ? decode(block.arrays[name], block.step, block.start) : null;
      const ensemble = take("ensemble");
      const truth = take("truth");
      const { mean, spread } = moments(ensemble, block.members);
      const error = truth && mean.map((value, i) => value - truth[i]);
      const climatology = take("climatology");
      decoded.set(index, { block, ensemble, truth, climatology, mean, spread, error });
    }
    return decoded.get(index);
  }

  /** One field: `kind` is truth, mean, spread, error, climatology or a member's number. */
  function field(index, kind, lead) {
    const arrays = channel(index);
    if (typeof kind === "number") {
      const start = (kind * leads + lead) * points;
      return arrays.ensemble.subarray(start, start + points);
    }
    return arrays[kind] && arrays[kind].subarray(lead * points, (lead + 1) * points);
  }

  /** Values over lead time at a grid point. */
  function series(index, kind, point) {
    const values = [];
    for (let lead = 0; lead < leads; lead++) values.push(field(index, kind, lead)[point]);
    return values;
  }

  /** Square root of the area-weighted mean square of a field. */
  function rootMeanSquare(values) {
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        sum += report.areaWeights[row] * values[row * columns + column] ** 2;
      }
    }
    return Math.sqrt(sum / points);
  }

  /** Values below which the shares `low` and `high` of some arrays lie. */
  function quantiles(arrays, low, high) {
    const total = arrays.reduce((sum, array) => sum + array.length, 0);
    const stride = Math.floor(total / 60000) | 1; // odd, so as not to follow a meridian
    const sample = [];
    for (const array of arrays)
      for (let i = 0; i < array.length; i += stride) sample.push(array[i]);
    const sorted = Float32Array.from(sample).sort();
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    return [at(low), at(high)];
  }

  return { report, coastlines, rows, columns, channel, field, series, rootMeanSquare, quantiles };
})();
