"use strict";

/**
 * Map projections. Each gives the aspect of its map (width over height), the position of a place
 * in the unit square (x to the right, y down), the place at a position (null off the map), and
 * the map's edge as positions. Longitudes are degrees east of the map's centre.
 */
const Projections = (() => {
  const RADIAN = Math.PI / 180;
  const steps = (low, high, by) =>
    Array.from({ length: Math.round((high - low) / by) + 1 }, (_, i) => low + i * by);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  /** Edge of a map of the whole globe: both sides of the meridian opposite to its centre. */
  function globeEdge(forward) {
    const up = steps(-90, 90, 2);
    return [...up.map((y) => forward(180, y)), ...up.reverse().map((y) => forward(-180, y))];
  }

  /** Equal Earth (Šavrič, Patterson & Jenny 2018): equal areas. */
  function equalEarth() {
    const [A1, A2, A3, A4] = [1.340264, -0.081106, 0.000893, 0.003796];
    const ROOT3 = Math.sqrt(3);
    const ordinate = (theta) => {
      const square = theta * theta;
      return theta * (A1 + A2 * square + square ** 3 * (A3 + A4 * square));
    };
    const slope = (theta) => {
      const square = theta * theta;
      return A1 + 3 * A2 * square + square ** 3 * (7 * A3 + 9 * A4 * square);
    };
    const xMax = (2 * ROOT3 * Math.PI) / (3 * A1);
    const yMax = ordinate(Math.PI / 3);
    function forward(east, latitude) {
      const theta = Math.asin((ROOT3 / 2) * Math.sin(latitude * RADIAN));
      const x = (2 * ROOT3 * east * RADIAN * Math.cos(theta)) / (3 * slope(theta));
      return [0.5 + x / (2 * xMax), 0.5 - ordinate(theta) / (2 * yMax)];
    }
    function inverse(u, v) {
      const y = (1 - 2 * v) * yMax;
      let theta = (y / yMax) * (Math.PI / 3);
      for (let i = 0; i < 8; i++) theta -= (ordinate(theta) - y) / slope(theta);
      const east = ((2 * u - 1) * xMax * 3 * slope(theta)) / (2 * ROOT3 * Math.cos(theta)) / RADIAN;
      const sine = (2 / ROOT3) * Math.sin(theta);
      if (Math.abs(east) > 180 || Math.abs(sine) > 1) return null;
      return [east, Math.asin(sine) / RADIAN];
    }
    return { aspect: xMax / yMax, forward, inverse, edge: globeEdge(forward) };
  }

  /** Robinson (1974): length and distance from the equator of parallels every 5 degrees. */
  function robinson() {
    const LENGTH = [
      1, 0.9986, 0.9954, 0.99, 0.9822, 0.973, 0.96, 0.9427, 0.9216, 0.8962, 0.8679, 0.835, 0.7986,
      0.7597, 0.7186, 0.6732, 0.6213, 0.5722, 0.5322,
    ];
    const HEIGHT = [
      0, 0.062, 0.124, 0.186, 0.248, 0.31, 0.372, 0.434, 0.4958, 0.5571, 0.6176, 0.6769, 0.7346,
      0.7903, 0.8435, 0.8936, 0.9394, 0.9761, 1,
    ];
    /** Cubic through four neighbours; `sign` continues the table beyond the equator. */
    function along(table, latitude, sign) {
      const place = Math.abs(latitude) / 5;
      const first = Math.min(Math.floor(place), 17);
      const t = place - first;
      const at = (i) => (i < 0 ? sign * table[-i] : i > 18 ? 2 * table[18] - table[36 - i] : table[i]);
      const [p, q, r, s] = [-1, 0, 1, 2].map((k) => at(first + k));
      return q + 0.5 * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)));
    }
    function forward(east, latitude) {
      const height = along(HEIGHT, latitude, -1) * Math.sign(latitude);
      return [0.5 + (east / 360) * along(LENGTH, latitude, 1), 0.5 - height / 2];
    }
    function inverse(u, v) {
      const height = Math.abs(1 - 2 * v);
      if (height > 1) return null;
      let [low, high] = [0, 90];
      for (let i = 0; i < 30; i++) {
        const middle = (low + high) / 2;
        if (along(HEIGHT, middle, -1) < height) low = middle;
        else high = middle;
      }
      const latitude = low * Math.sign(0.5 - v);
      const east = ((u - 0.5) * 360) / along(LENGTH, latitude, 1);
      return Math.abs(east) > 180 ? null : [east, latitude];
    }
    return {
      aspect: (0.8487 * Math.PI) / 1.3523,
      forward,
      inverse,
      edge: globeEdge(forward),
    };
  }

  /** Plate carrée of a box: `east` and latitude between bounds, true to scale at its middle. */
  function plateCarree([west, east], [south, north]) {
    const forward = (x, latitude) => [(x - west) / (east - west), (north - latitude) / (north - south)];
    const inverse = (u, v) =>
      u < 0 || u > 1 || v < 0 || v > 1
        ? null
        : [west + u * (east - west), north - v * (north - south)];
    const middle = Math.cos(((south + north) / 2) * RADIAN);
    const edge = [[0, 0], [1, 0], [1, 1], [0, 1]];
    return { aspect: (middle * (east - west)) / (north - south), forward, inverse, edge };
  }

  /** Polar stereographic to 20 degrees of the pole's hemisphere; the centre points down. */
  function polar(sign) {
    const radius = (latitude) => Math.tan((Math.PI / 2 - sign * latitude * RADIAN) / 2);
    const rim = radius(sign * 20);
    function forward(east, latitude) {
      if (sign * latitude < -60) return null; // towards the other pole, which is infinitely far
      const [r, angle] = [radius(latitude) / rim / 2, east * RADIAN];
      return [0.5 + r * Math.sin(angle), 0.5 + sign * r * Math.cos(angle)];
    }
    function inverse(u, v) {
      const [x, y] = [2 * u - 1, sign * (2 * v - 1)];
      const r = Math.hypot(x, y);
      if (r > 1) return null;
      return [Math.atan2(x, y) / RADIAN, sign * (90 - (2 * Math.atan(r * rim)) / RADIAN)];
    }
    return { aspect: 1, forward, inverse, edge: steps(-180, 180, 2).map((e) => forward(e, sign * 20)) };
  }

  /** Where data that cover a part of the globe lie: centre, and the box around it; else null. */
  function regionOf(latitudes, longitudes) {
    const gaps = longitudes.map((x, i) => ((longitudes[i + 1] ?? longitudes[0] + 360) - x));
    const widest = gaps.indexOf(Math.max(...gaps));
    const spacing = Math.min(...gaps);
    const [south, north] = [latitudes[0], latitudes[latitudes.length - 1]];
    const half = (latitudes[1] - latitudes[0]) / 2;
    if (gaps[widest] < 3 * spacing && north - south > 120) return null;
    const whole = gaps[widest] < 3 * spacing;
    const width = whole ? 360 : 360 - gaps[widest] + spacing;
    const west = longitudes[(widest + 1) % longitudes.length] - spacing / 2;
    return {
      centre: whole ? 0 : west + width / 2,
      east: [-width / 2, width / 2],
      north: [clamp(south - half, -90, 90), clamp(north + half, -90, 90)],
    };
  }

  const NAMES = {
    region: "Region (plate carrée)",
    "equal-earth": "Equal Earth (equal areas)",
    robinson: "Robinson",
    "plate-carree": "Plate carrée",
    north: "North polar stereographic",
    south: "South polar stereographic",
  };

  /** All projections by name; `region` only where the data cover a part of the globe. */
  function all(latitudes, longitudes) {
    const region = regionOf(latitudes, longitudes);
    const made = {
      ...(region && { region: { ...plateCarree(region.east, region.north), centre: region.centre } }),
      "equal-earth": equalEarth(),
      robinson: robinson(),
      "plate-carree": plateCarree([-180, 180], [-90, 90]),
      north: polar(1),
      south: polar(-1),
    };
    for (const [key, projection] of Object.entries(made)) {
      Object.assign(projection, { key, name: NAMES[key] });
    }
    return made;
  }

  return { all, steps };
})();
