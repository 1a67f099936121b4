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
  const leads = [...new Set(rows.map((row) => row.lead))].sort((a, b) => a - b);
  const variables = [...new Set(rows.map((row) => row.variable))];
  const sorting = { column: null, ascending: true };

  /** Scores of a channel by lead, as series for a chart: null where there is none. */
  function series(channel, name, leadHours) {
    const mine = new Map(rows.filter((r) => r.channel === channel).map((r) => [r.lead, r[name]]));
    return leadHours.map((lead) => mine.get(lead) ?? null);
  }

  function byChannel(metric, variable) {
    const channels = new Map();
    for (const row of rows) {
      if (variable && row.variable !== variable) continue;
      if (!channels.has(row.channel)) channels.set(row.channel, { row, values: new Map() });
      channels.get(row.channel).values.set(row.lead, METRICS[metric].of(row));
    }
    const list = [...channels.values()];
    if (sorting.column === null) return list;
    const sign = sorting.ascending ? 1 : -1;
    const value = (entry) => entry.values.get(sorting.column) ?? Infinity;
    return list.sort((a, b) => sign * (value(a) - value(b)));
  }

  /** Background for a ratio: transparent at 1, full at a factor of 2. */
  function tint(value, direction) {
    if (!(value > 0)) return "";
    const strength = Math.max(-1, Math.min(1, Math.log2(value) * direction));
    const hue = strength > 0 ? "224, 123, 32" : "46, 122, 204";
    return `rgba(${hue}, ${(0.6 * Math.abs(strength)).toFixed(3)})`;
  }

  function headCell(lead, redraw) {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    const name = lead === null ? "Field" : `${lead} h`;
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
        [lead === null ? 0 : leads.indexOf(lead) + 1].focus();
    });
    cell.append(button);
    return cell;
  }

  function rowHead(row, selected, onChannel) {
    const head = document.createElement("th");
    head.scope = "row";
    const level = row.level === null ? "" : ` ${row.level} hPa`;
    const name = `${row.variable.replaceAll("_", " ")}${level}`;
    const mapped = Data.report.fields.findIndex((field) => field.name === row.channel);
    const label = document.createElement(mapped < 0 ? "span" : "button");
    label.textContent = name;
    if (mapped >= 0) {
      label.type = "button";
      label.title = "Show this field on the maps";
      label.addEventListener("click", () => onChannel(mapped));
    }
    const units = document.createElement("small");
    units.textContent = `(${row.units})`;
    head.append(label, " ", units);
    if (row.channel === selected) head.className = "selected";
    return head;
  }

  /** Draw the table for a score and a variable (all where empty). */
  function draw(table, metric, variable, selected, onChannel) {
    const redraw = () => draw(table, metric, variable, selected, onChannel);
    const header = document.createElement("tr");
    header.append(...[null, ...leads].map((lead) => headCell(lead, redraw)));
    const head = document.createElement("thead");
    head.append(header);
    const body = document.createElement("tbody");
    for (const { row, values } of byChannel(metric, variable)) {
      const line = document.createElement("tr");
      line.append(rowHead(row, selected, onChannel));
      for (const lead of leads) {
        const cell = document.createElement("td");
        const value = values.get(lead) ?? null;
        cell.textContent = Palette.number(value);
        if (METRICS[metric].tint && value !== null)
          cell.style.backgroundColor = tint(value, METRICS[metric].tint);
        line.append(cell);
      }
      body.append(line);
    }
    table.replaceChildren(head, body);
  }

  return { METRICS, variables, series, draw, any: rows.length > 0 };
})();
