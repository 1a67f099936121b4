"use strict";

/** Equal Earth projection (Šavrič, Patterson & Jenny 2018) and what is drawn with it. */
const Geo = (() => {
  const [A1, A2, A3, A4] = [1.340264, -0.081106, 0.000893, 0.003796];
  const ROOT3 = Math.sqrt(3);
  const RADIAN = Math.PI / 180;
  const X_MAX = (2 * ROOT3 * Math.PI) / (3 * A1);
  const Y_MAX = ordinate(Math.PI / 3);
  const ASPECT = X_MAX / Y_MAX;

  function ordinate(theta) {
    const square = theta * theta;
    return theta * (A1 + A2 * square + square ** 3 * (A3 + A4 * square));
  }

  function slope(theta) {
    const square = theta * theta;
    return A1 + 3 * A2 * square + square ** 3 * (7 * A3 + 9 * A4 * square);
  }

  /** Degrees from the central meridian, in [-180, 180). */
  const wrap = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

  /** Position in the unit square, x to the right and y down; `east` is from the centre. */
  function forward(east, latitude) {
    const theta = Math.asin((ROOT3 / 2) * Math.sin(latitude * RADIAN));
    const x = (2 * ROOT3 * east * RADIAN * Math.cos(theta)) / (3 * slope(theta));
    return [0.5 + x / (2 * X_MAX), 0.5 - ordinate(theta) / (2 * Y_MAX)];
  }

  /** Degrees from the centre and latitude at a position, or null off the globe. */
  function inverse(u, v) {
    const y = (1 - 2 * v) * Y_MAX;
    let theta = (y / Y_MAX) * (Math.PI / 3);
    for (let i = 0; i < 8; i++) theta -= (ordinate(theta) - y) / slope(theta);
    const east = ((2 * u - 1) * X_MAX * 3 * slope(theta)) / (2 * ROOT3 * Math.cos(theta)) / RADIAN;
    const sine = (2 / ROOT3) * Math.sin(theta);
    if (Math.abs(east) > 180 || Math.abs(sine) > 1) return null;
    return [east, Math.asin(sine) / RADIAN];
  }

  /** Neighbours of a value on an ascending axis, and how far it is towards the second. */
  function bracket(axis, value, period) {
    let [low, high] = [-1, axis.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (axis[middle] <= value) low = middle;
      else high = middle;
    }
    if (low >= 0 && high < axis.length) {
      return [low, high, (value - axis[low]) / (axis[high] - axis[low])];
    }
    if (!period) return low < 0 ? [0, 0, 0] : [low, low, 0];
    const last = axis.length - 1;
    const gap = axis[0] + period - axis[last];
    return [last, 0, (value - axis[last] + (low < 0 ? period : 0)) / gap];
  }

  /** Smallest distance of neighbours on an ascending axis. */
  function spacingOf(axis) {
    return Math.min(...axis.slice(1).map((value, i) => value - axis[i]));
  }

  /**
   * A bracket on an axis that may cover a part of the globe only: within a gap, the nearer end
   * up to half a cell away, and null beyond.
   */
  function covered(axis, [first, second, share], value, period, spacing) {
    const reach = spacing / 2 + 1e-6;
    if (first === second) return Math.abs(value - axis[first]) <= reach ? [first, second, share] : null;
    const gap = axis[second] - axis[first] + (second < first ? period : 0);
    if (gap <= 1.5 * spacing) return [first, second, share];
    if (share * gap <= reach) return [first, first, 0];
    return (1 - share) * gap <= reach ? [second, second, 0] : null;
  }

  /** Row and column of the grid point nearest to a place. */
  function nearest(latitudes, longitudes, latitude, longitude) {
    const pick = ([first, second, share]) => (share < 0.5 ? first : second);
    return {
      row: pick(bracket(latitudes, latitude, 0)),
      column: pick(bracket(longitudes, (longitude + 720) % 360, 360)),
    };
  }

  /** For each pixel, four grid points and two shares to interpolate with; -1 off the data. */
  function lookup(width, height, centre, latitudes, longitudes) {
    const corners = new Int32Array(4 * width * height).fill(-1);
    const shares = new Float32Array(2 * width * height);
    const columns = longitudes.length;
    const [dLat, dLon] = [spacingOf(latitudes), spacingOf(longitudes)];
    for (let j = 0; j < height; j++) {
      for (let i = 0; i < width; i++) {
        // A pixel just outside takes the edge's value, so that the clipped edge is not ragged.
        const place = inverse((i + 0.5) / width, (j + 0.5) / height) || edge(i, j, width, height);
        if (!place) continue;
        const longitude = (place[0] + centre + 720) % 360;
        const rows = covered(latitudes, bracket(latitudes, place[1], 0), place[1], 0, dLat);
        const cells = covered(longitudes, bracket(longitudes, longitude, 360), longitude, 360, dLon);
        if (!rows || !cells) continue;
        const [[south, north, up], [west, east, right]] = [rows, cells];
        const pixel = j * width + i;
        corners.set(
          [
            south * columns + west,
            south * columns + east,
            north * columns + west,
            north * columns + east,
          ],
          4 * pixel,
        );
        shares[2 * pixel] = right;
        shares[2 * pixel + 1] = up;
      }
    }
    return { width, height, corners, shares };
  }

  function edge(i, j, width, height) {
    const inwards = i < width / 2 ? 2.5 : -1.5;
    return inverse((i + inwards) / width, (j + 0.5) / height);
  }

  /** Lines of [east, latitude] from the centre, cut where they leave one side of the map. */
  function cut(line, centre) {
    const parts = [[]];
    let before = null;
    for (let i = 0; i < line.length; i += 2) {
      const here = [wrap(line[i] / 100 - centre), line[i + 1] / 100];
      if (before && Math.abs(here[0] - before[0]) > 180) {
        const side = Math.sign(before[0]);
        const run = here[0] + 360 * side - before[0];
        const share = run ? (180 * side - before[0]) / run : 0;
        const latitude = before[1] + share * (here[1] - before[1]);
        parts[parts.length - 1].push([180 * side, latitude]);
        parts.push([[-180 * side, latitude]]);
      }
      parts[parts.length - 1].push(here);
      before = here;
    }
    return parts;
  }

  function trace(path, line, width, height) {
    line.forEach(([east, latitude], i) => {
      const [u, v] = forward(east, latitude);
      path[i ? "lineTo" : "moveTo"](u * width, v * height);
    });
  }

  const steps = (low, high, by) =>
    Array.from({ length: Math.round((high - low) / by) + 1 }, (_, i) => low + i * by);

  /** Path of the map's edge. */
  function outline(width, height) {
    const path = new Path2D();
    const up = steps(-90, 90, 2);
    trace(
      path,
      [...up.map((y) => [180, y]), ...up.reverse().map((y) => [-180, y])],
      width,
      height,
    );
    path.closePath();
    return path;
  }

  /** Path of meridians and parallels every 30 degrees. */
  function graticule(width, height, centre) {
    const path = new Path2D();
    for (const meridian of steps(-180, 150, 30)) {
      const east = wrap(meridian - centre);
      trace(
        path,
        steps(-90, 90, 2).map((y) => [east, y]),
        width,
        height,
      );
    }
    for (const parallel of steps(-60, 60, 30)) {
      trace(
        path,
        [
          [-180, parallel],
          [180, parallel],
        ],
        width,
        height,
      );
    }
    return path;
  }

  /** Path of the coastlines. */
  function coast(lines, width, height, centre) {
    const path = new Path2D();
    for (const line of lines)
      for (const part of cut(line, centre)) trace(path, part, width, height);
    return path;
  }

  /** A place for people, such as 52.5° N, 13.4° E. */
  function placeText(latitude, longitude) {
    const east = wrap(longitude);
    const side = (value, positive, negative) =>
      `${Math.abs(value).toFixed(1)}° ${value < 0 ? negative : positive}`;
    return `${side(latitude, "N", "S")}, ${side(east, "E", "W")}`;
  }

  return { ASPECT, forward, inverse, wrap, nearest, lookup, outline, graticule, coast, placeText };
})();
