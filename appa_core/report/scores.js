"use strict";

/** Scorecard: one score for all channels (rows) and leads (columns), sortable. */
const Scores = (() => {
  const rows = Data.report.scores;
  const ratio = (name, other) => (row) =>
    row[name] !== null && row[other] ? row[name] / row[other] : null;
  const BETTER_BELOW = "Below 1 (blue) the ensemble mean is better; above 1 (orange) it is worse.";
  const METRICS = {
    rmse: { label: "RMSE of the mean", of: (row) => row.rmse },
    crps: { label: "CRPS", of: (row) => row.crps },
    spread: { label: "Spread", of: (row) => row.spread },
    ssr: {
      label: "Spread/skill ratio",
      of: (row) => row.ssr,
      tint: -1,
      hint: "1 is calibrated; below 1 (orange) the ensemble is too sure, above 1 (blue) too wide.",
    },
    persistence: {
      label: "RMSE relative to persistence",
      of: ratio("rmse", "rmse_persistence"),
      tint: 1,
      hint: BETTER_BELOW,
    },
    climatology: {
      label: "RMSE relative to climatology",
      of: ratio("rmse", "rmse_climatology"),
      tint: 1,
      hint: BETTER_BELOW,
    },
  };
  const COMPARED = { rmse: "RMSE", crps: "CRPS" };
  const { comparison } = Data.report;
  const changes = comparison ? Data.table(comparison.rows) : [];
  for (const score of comparison ? new Set(changes.map((row) => row.score)) : []) {
    METRICS[`against ${score}`] = {
      label: `${COMPARED[score] || score}: change against ${comparison.name}`,
      against: score,
      hint:
        `${comparison.note} Blue and ▼: lower, that is better; orange and ▲: worse. ` +
        "● marks a change whose 95 % interval does not hold zero.",
    };
  }
  const leads = [...new Set(rows.map((row) => row.lead))].sort((a, b) => a - b);
  const variables = [...new Set([...rows, ...changes].map((row) => row.variable))];
  const ALL = "all"; // in place of a lead: all times together
  const sorting = { column: null, ascending: true };

  /** Whether the 95 % interval of a change lies on one side of zero. */
  const isSignificant = (row) => Charts.isNumber(row.low) && row.low * row.high > 0;

  function byChannel(metric, variable) {
    const channels = new Map();
    const { against, of } = METRICS[metric];
    for (const row of against ? changes.filter((r) => r.score === against) : rows) {
      if (variable && row.variable !== variable) continue;
      if (!channels.has(row.channel)) {
        channels.set(row.channel, { row, values: new Map(), rows: new Map() });
      }
      const entry = channels.get(row.channel);
      entry.values.set(row.lead, against ? row.change : of(row));
      entry.rows.set(row.lead, row);
    }
    const list = [...channels.values()];
    if (sorting.column === null) return list;
    const sign = sorting.ascending ? 1 : -1;
    const value = (entry) => entry.values.get(sorting.column) ?? Infinity;
    return list.sort((a, b) => sign * (value(a) - value(b)));
  }

  /** Background for a ratio: transparent at 1, full at a factor of 2. */
  function tint(value, direction) {
    return value > 0 ? shade(Math.log2(value) * direction) : "";
  }

  function shade(strength) {
    const bounded = Math.max(-1, Math.min(1, strength));
    const hue = bounded > 0 ? "224, 123, 32" : "46, 122, 204";
    return `rgba(${hue}, ${(0.6 * Math.abs(bounded)).toFixed(3)})`;
  }

  function changeCell(cell, row) {
    const percent = 100 * row.change;
    const arrow = percent < 0 ? "▼" : "▲";
    const sure = isSignificant(row);
    const size = Palette.number(Math.abs(percent));
    cell.textContent = `${arrow} ${size} %${sure ? " ●" : ""}`;
    cell.className = sure ? "significant" : "";
    cell.style.backgroundColor = shade(5 * row.change * (sure ? 1 : 0.4));
    const interval = Charts.isNumber(row.low)
      ? `95 % interval ${Palette.number(100 * row.low)} to ${Palette.number(100 * row.high)} %`
      : "one date: no interval";
    cell.title = `${interval}; ${row.pairs} ${row.pairs === 1 ? "date" : "dates"}`;
  }

  function fillCell(cell, metric, entry, lead) {
    const value = entry.values.get(lead) ?? null;
    const { against, tint: direction } = METRICS[metric];
    if (against && value !== null) changeCell(cell, entry.rows.get(lead));
    else cell.textContent = Palette.number(value);
    if (direction && value !== null) cell.style.backgroundColor = tint(value, direction);
  }

  function headCell(lead, shownLeads, redraw) {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    const name = lead === null ? "Field" : lead === ALL ? "All times" : `${lead} h`;
    const sorted = sorting.column === lead;
    button.type = "button";
    button.textContent =
      sorted && lead !== null ? `${name} ${sorting.ascending ? "▲" : "▼"}` : name;
    button.title = lead === null ? "Back to the original order" : "Sort by this lead";
    if (sorted && lead !== null)
      cell.setAttribute("aria-sort", sorting.ascending ? "ascending" : "descending");
    cell.scope = "col";
    button.addEventListener("click", () => {
      sorting.ascending = sorted ? !sorting.ascending : true;
      sorting.column = lead;
      redraw();
      document
        .querySelectorAll("#scorecard thead button")
        [lead === null ? 0 : shownLeads.indexOf(lead) + 1].focus();
    });
    cell.append(button);
    return cell;
  }

  function rowHead(row, selected, onChannel) {
    const head = document.createElement("th");
    head.scope = "row";
    const level = row.level === null ? "" : ` ${row.level} hPa`;
    const name = `${Data.nameOf(row.variable)}${level}`;
    const mapped = Data.report.fields.findIndex((field) => field.name === row.channel);
    const label = document.createElement(mapped < 0 ? "span" : "button");
    label.textContent = name;
    if (mapped >= 0) {
      label.type = "button";
      label.title = "Show this field on the maps";
      label.addEventListener("click", () => onChannel(mapped));
    }
    const units = document.createElement("small");
    units.textContent = row.units ? `(${row.units})` : "";
    head.append(label, " ", units);
    if (row.channel === selected) head.className = "selected";
    return head;
  }

  /** Draw the table for a score and a variable (all where empty). */
  function draw(table, metric, variable, selected, onChannel) {
    const redraw = () => draw(table, metric, variable, selected, onChannel);
    const { against } = METRICS[metric];
    const shownLeads = against
      ? [...new Set(changes.filter((r) => r.score === against).map((r) => r.lead))]
      : leads;
    const header = document.createElement("tr");
    header.append(...[null, ...shownLeads].map((lead) => headCell(lead, shownLeads, redraw)));
    const head = document.createElement("thead");
    head.append(header);
    const body = document.createElement("tbody");
    for (const entry of byChannel(metric, variable)) {
      const line = document.createElement("tr");
      line.append(rowHead(entry.row, selected, onChannel));
      for (const lead of shownLeads) {
        const cell = document.createElement("td");
        fillCell(cell, metric, entry, lead);
        line.append(cell);
      }
      body.append(line);
    }
    table.replaceChildren(head, body);
  }

  const any = rows.length > 0 || changes.length > 0;
  const first = comparison ? Object.keys(METRICS).find((key) => METRICS[key].against) : "rmse";
  return { METRICS, variables, draw, any, first };
})();
