"use strict";

/** Making of elements, and the named places of the plume. */
const Dom = (() => {
  /** Latitude and longitude in degrees. */
  const PLACES = {
    Reykjavík: [64.1, -21.9],
    London: [51.5, -0.1],
    Berlin: [52.5, 13.4],
    Cairo: [30, 31.2],
    Lagos: [6.5, 3.4],
    Nairobi: [-1.3, 36.8],
    "Cape Town": [-33.9, 18.4],
    Moscow: [55.8, 37.6],
    Delhi: [28.6, 77.2],
    Beijing: [39.9, 116.4],
    Tokyo: [35.7, 139.7],
    Singapore: [1.3, 103.8],
    Sydney: [-33.9, 151.2],
    Honolulu: [21.3, -157.9],
    "Los Angeles": [34.1, -118.2],
    "New York": [40.7, -74],
    "Mexico City": [19.4, -99.1],
    Lima: [-12, -77],
    "São Paulo": [-23.6, -46.6],
    "North Pole": [90, 0],
    "South Pole": [-90, 0],
  };

  /** An element with properties and children. */
  function node(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  /** Fill a select element with [value, text] pairs. */
  const options = (select, entries) =>
    select.replaceChildren(
      ...entries.map(([value, text]) => node("option", { value, textContent: text })),
    );

  return { PLACES, node, options };
})();
