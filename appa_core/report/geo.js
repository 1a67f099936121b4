"use strict";

/** Grids on maps: which grid points a pixel shows, and lines of a map in a projection. */
const Geo = (() => {
  /** Degrees from the central meridian, in [-180, 180). */
  const wrap = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

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

  /** Beyond the last row, how far a place is towards the same row across the pole; else null. */
  function acrossPole(latitudes, latitude) {
    const last = latitude > 0 ? latitudes[latitudes.length - 1] : latitudes[0];
    const beyond = Math.abs(latitude) - Math.abs(last);
    return last * latitude > 0 && beyond > 0 ? beyond / (2 * (90 - Math.abs(last))) : null;
  }

  /** For each pixel, four grid points and two shares to interpolate with; -1 off the data. */
  function lookup(projection, width, height, centre, latitudes, longitudes) {
    const corners = new Int32Array(4 * width * height).fill(-1);
    const shares = new Float32Array(2 * width * height);
    const columns = longitudes.length;
    const [dLat, dLon] = [spacingOf(latitudes), spacingOf(longitudes)];
    const around = columns % 2 === 0 && longitudes[0] + 360 - longitudes[columns - 1] < 1.5 * dLon;
    for (let j = 0; j < height; j++) {
      for (let i = 0; i < width; i++) {
        const place = placeOf(projection, i, j, width, height);
        if (!place) continue;
        const longitude = (place[0] + centre + 720) % 360;
        const rows = covered(latitudes, bracket(latitudes, place[1], 0), place[1], 0, dLat);
        const cells = covered(longitudes, bracket(longitudes, longitude, 360), longitude, 360, dLon);
        if (!rows || !cells) continue;
        const [[south, north, up], [west, east, right]] = [rows, cells];
        const over = around ? acrossPole(latitudes, place[1]) : null;
        const turn = over === null ? 0 : columns / 2;
        const pixel = j * width + i;
        corners.set(
          [
            south * columns + west,
            south * columns + east,
            north * columns + ((west + turn) % columns),
            north * columns + ((east + turn) % columns),
          ],
          4 * pixel,
        );
        shares[2 * pixel] = right;
        shares[2 * pixel + 1] = over ?? up;
      }
    }
    return { width, height, corners, shares };
  }

  /** Place of a pixel; one just outside takes the edge's, so that the clipped edge is smooth. */
  function placeOf({ inverse }, i, j, width, height) {
    const place = inverse((i + 0.5) / width, (j + 0.5) / height);
    if (place) return place;
    const [x, y] = [i + 0.5 - width / 2, j + 0.5 - height / 2];
    const sideways = inverse((i + 0.5 - 2 * Math.sign(x)) / width, (j + 0.5) / height);
    const inwards = 1 - 2 / Math.max(Math.hypot(x, y), 3);
    return sideways || inverse(0.5 + (x * inwards) / width, 0.5 + (y * inwards) / height);
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

  /** Add a line of [east, latitude] to a path; a place that a map cannot show interrupts it. */
  function trace(path, line, { forward }, width, height) {
    let pen = "moveTo";
    for (const [east, latitude] of line) {
      const position = forward(east, latitude);
      if (position) path[pen](position[0] * width, position[1] * height);
      pen = position ? "lineTo" : "moveTo";
    }
  }

  /** Path of the map's edge. */
  function outline({ edge }, width, height) {
    const path = new Path2D();
    edge.forEach(([u, v], i) => path[i ? "lineTo" : "moveTo"](u * width, v * height));
    path.closePath();
    return path;
  }

  /** Path of meridians and parallels every 30 degrees. */
  function graticule(projection, width, height, centre) {
    const path = new Path2D();
    const { steps } = Projections;
    for (const meridian of steps(-180, 150, 30)) {
      const east = wrap(meridian - centre);
      const line = steps(-90, 90, 2).map((y) => [east, y]);
      trace(path, line, projection, width, height);
    }
    for (const parallel of steps(-60, 60, 30)) {
      const line = steps(-180, 180, 3).map((x) => [x, parallel]);
      trace(path, line, projection, width, height);
    }
    return path;
  }

  /** Path of the coastlines. */
  function coast(lines, projection, width, height, centre) {
    const path = new Path2D();
    for (const line of lines)
      for (const part of cut(line, centre)) trace(path, part, projection, width, height);
    return path;
  }

  /** A place for people, such as 52.5° N, 13.4° E. */
  function placeText(latitude, longitude) {
    const east = wrap(longitude);
    const side = (value, positive, negative) =>
      `${Math.abs(value).toFixed(1)}° ${value < 0 ? negative : positive}`;
    return `${side(latitude, "N", "S")}, ${side(east, "E", "W")}`;
  }

  return { wrap, nearest, lookup, outline, graticule, coast, placeText };
})();
