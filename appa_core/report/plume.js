"use strict";

/** The plume: members, mean and truth over time at the marked point. */
const Plume = (() => {
  const { report } = Data;
  const $ = (id) => document.getElementById(id);

  function series(state) {
    const { block, truth, climatology } = Data.channel(state.channel);
    const point = state.site.row * Data.columns + state.site.column;
    const along = (kind) => Charts.overLead(Data.series(state.channel, kind, point));
    const lines = Array.from({ length: block.members }, (_, m) => ({
      name: `Members (${block.members})`,
      style: "member",
      points: along(m),
      order: 4,
    }));
    if (climatology) {
      const points = along("climatology");
      lines.push({ name: "Climatology", style: "climatology", points, order: 5 });
    }
    const chosen = { name: `Member ${state.member + 1}`, style: "chosen", order: 3 };
    if (block.members > 1) lines.push({ ...chosen, points: along(state.member) });
    lines.push({ name: "Ensemble mean", style: "mean", points: along("mean"), order: 1 });
    if (truth) lines.push({ name: "Truth", style: "truth", points: along("truth"), order: 2 });
    return lines;
  }

  function text(state, where) {
    const { block, truth } = Data.channel(state.channel);
    const point = state.site.row * Data.columns + state.site.column;
    const value = (kind) => Data.field(state.channel, kind, state.lead)[point];
    const number = (kind) => Palette.number(value(kind));
    const now = Array.from({ length: block.members }, (_, m) => value(m));
    return (
      `${where}, +${report.leadHours[state.lead]} h: mean ${number("mean")}` +
      (block.members > 1 ? ` ± ${number("spread")}` : "") +
      `, members ${Palette.number(Math.min(...now))} to ${Palette.number(Math.max(...now))}` +
      (truth ? `, truth ${number("truth")}` : "") +
      ` ${block.units}`
    );
  }

  function draw(state) {
    const { block } = Data.channel(state.channel);
    const where = state.place
      ? `${state.place} (grid point ${Panels.siteText(state.site)})`
      : Panels.siteText(state.site);
    $("plume-readout").textContent = text(state, where);
    Charts.draw($("plume"), {
      x: { label: `${report.hoursLabel} (h)`, hours: true },
      y: { label: `${block.label} (${block.units})` },
      series: series(state),
      label: `${block.label} over time at ${where}: members, mean and truth`,
      marker: report.leadHours[state.lead],
      onPick: state.onPick,
      empty: "This field has no values here.",
    });
  }

  return { draw };
})();
