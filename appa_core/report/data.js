"use strict";

/** The embedded data: unpacked when a channel is first shown, and what follows from them. */
const Data = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const report = read("report-data");
  const coastlines = read("report-coastlines");
  const MISSING = 4095; // the code of a cell without a value
  const leads = report.leadHours.length;
  const rows = report.latitudes.length;
  const columns = report.longitudes.length;
  const points = rows * columns;
  const unpacked = new Map();

  /** Bytes of a zlib stream in base64. */
  async function inflate(text) {
    const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** Codes of 12 bits from the differences in which they are packed. */
  function restore(bytes) {
    const count = bytes.length / 2;
    const codes = new Uint16Array(count);
    const slab = leads * points;
    for (let start = 0; start < count; start += columns) {
      const first = start % slab < points; // no state before this one
      let change = 0;
      for (let i = start; i < start + columns; i++) {
        const folded = bytes[i] | (bytes[count + i] << 8);
        change += (folded >> 1) ^ -(folded & 1);
        codes[i] = change + (first ? 0 : codes[i - points]);
      }
    }
    return codes;
  }

  /** Unpack a channel, so that `channel` and `field` can show it. */
  async function load(index) {
    if (unpacked.has(index)) return;
    const block = report.fields[index];
    const codes = restore(await inflate(block.data));
    const values = Float32Array.from(codes, (code) =>
      code === MISSING ? NaN : block.start + block.step * code,
    );
    const size = leads * points;
    const parts = { ensemble: null, truth: null, climatology: null };
    let start = 0;
    for (const name of block.arrays) {
      const length = name === "ensemble" ? block.members * size : size;
      parts[name] = values.subarray(start, start + length);
      start += length;
    }
    const { ensemble, truth, climatology } = parts;
    const { mean, spread } = moments(ensemble, block);
    const error = truth && mean.map((value, i) => value - truth[i]);
    const anomaly = climatology && mean.map((value, i) => value - climatology[i]);
    const all = { block, ensemble, truth, climatology, mean, spread, error, anomaly };
    unpacked.set(index, { ...all, probability: new Float32Array(size) });
  }

  /**
   * Mean and spread over members, each (T, points): `variances` of appa_core.metrics.members.
   * A member of a pair varies as the mean of a pair does, plus the mean square of half of the
   * difference of partners; an independent one as if it were its own partner.
   */
  function moments(ensemble, { members, pairs }) {
    const size = leads * points;
    const mean = new Float32Array(size);
    const spread = new Float32Array(size);
    const each = pairs ? 2 : 1;
    const groups = members / each;
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let m = 0; m < members; m++) sum += ensemble[m * size + i];
      const centre = sum / members;
      let between = 0;
      let within = 0;
      for (let m = 0; m < members; m += each) {
        const first = ensemble[m * size + i];
        const last = ensemble[(m + each - 1) * size + i];
        between += ((first + last) / 2 - centre) ** 2;
        within += ((first - last) / 2) ** 2;
      }
      mean[i] = centre;
      spread[i] = members > 1 ? Math.sqrt(between / (groups - 1) + within / groups) : NaN;
    }
    return { mean, spread };
  }

  /** A variable as people call what is shown of it. */
  const nameOf = (variable) => report.renamed[variable] || variable.replaceAll("_", " ");

  /** A loaded channel: its block, and arrays over (T, points) or null. */
  const channel = (index) => unpacked.get(index);

  /** Share of members, in percent, beyond a threshold; `above` or below it. */
  function countEvent(index, threshold, above) {
    const { ensemble, block, probability } = channel(index);
    const size = leads * points;
    for (let i = 0; i < size; i++) {
      let count = 0;
      for (let m = 0; m < block.members; m++) {
        const value = ensemble[m * size + i];
        if (above ? value > threshold : value < threshold) count++;
      }
      probability[i] = Number.isNaN(ensemble[i]) ? NaN : (100 * count) / block.members;
    }
  }

  /** One field: `kind` names an array of a channel, or is a member's number. */
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

  /** Square root of the area-weighted mean square of a field, where it has values. */
  function rootMeanSquare(values) {
    let [sum, weight] = [0, 0];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = values[row * columns + column];
        if (Number.isNaN(value)) continue;
        sum += report.areaWeights[row] * value ** 2;
        weight += report.areaWeights[row];
      }
    }
    return Math.sqrt(sum / weight);
  }

  /** Values below which the shares `low` and `high` of some arrays lie. */
  function quantiles(arrays, low, high) {
    const total = arrays.reduce((sum, array) => sum + array.length, 0);
    const stride = Math.floor(total / 60000) | 1; // odd, so as not to follow a meridian
    const sample = [];
    for (const array of arrays)
      for (let i = 0; i < array.length; i += stride)
        if (!Number.isNaN(array[i])) sample.push(array[i]);
    const sorted = Float32Array.from(sample).sort();
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    return [at(low), at(high)];
  }

  /** Rows of a table that is given by its columns. */
  function table(named) {
    const names = Object.keys(named);
    const count = names.length ? named[names[0]].length : 0;
    return Array.from({ length: count }, (_, i) =>
      Object.fromEntries(names.map((name) => [name, named[name][i]])),
    );
  }

  /** The tables of the evaluation, a list of rows each. */
  async function evaluation() {
    const tables = JSON.parse(new TextDecoder().decode(await inflate(report.evaluation)));
    return Object.fromEntries(Object.entries(tables).map(([name, t]) => [name, table(t)]));
  }

  return {
    report,
    coastlines,
    rows,
    columns,
    points,
    nameOf,
    load,
    channel,
    countEvent,
    field,
    series,
    rootMeanSquare,
    quantiles,
    table,
    evaluation,
  };
})();
