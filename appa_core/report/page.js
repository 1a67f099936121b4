"use strict";

/** The page's state, its controls and what is redrawn when one changes. */
(() => {
  const { report } = Data;
  const { PLACES, node, options } = Dom;
  const $ = (id) => document.getElementById(id);
  const FRAME_MS = 350; // time for which the animation shows one lead
  const nearest = ([latitude, longitude]) =>
    Geo.nearest(report.latitudes, report.longitudes, latitude, longitude);
  const state = {
    channel: 0,
    lead: 0,
    site: nearest(PLACES.Berlin),
    place: "Berlin",
    members: [0, 1],
    centre: 0,
    smooth: true,
    rescale: false,
    timer: null,
  };

  const PANELS = [
    { id: "truth", title: "Truth", kind: () => "truth" },
    { id: "mean", title: "Ensemble mean", kind: () => "mean" },
    { id: "error", title: "Error of the mean", kind: () => "error" },
    { id: "spread", title: "Spread", kind: () => "spread" },
    { id: "member-a", title: "Member", kind: () => state.members[0], slot: 0 },
    { id: "member-b", title: "Member", kind: () => state.members[1], slot: 1 },
  ].map((panel) => ({ ...panel, on: true }));

  /** Whether the chosen channel has what a panel shows. */
  function available(panel) {
    const { block, truth } = Data.channel(state.channel);
    if (panel.id === "truth" || panel.id === "error") return Boolean(truth);
    if (panel.id === "spread") return block.members > 1;
    return panel.slot === undefined || panel.slot < block.members;
  }

  function buildPanel(panel) {
    panel.canvas = node("canvas", { tabIndex: 0 });
    panel.canvas.setAttribute("role", "application");
    panel.bar = node("div", { className: "bar-holder" });
    panel.readout = node("span", { className: "readout" });
    const caption = node("figcaption", {}, node("strong", { textContent: panel.title }));
    if (panel.slot !== undefined) {
      panel.select = node("select", { ariaLabel: `Member of panel ${panel.slot + 1}` });
      panel.select.addEventListener("change", () => {
        state.members[panel.slot] = Number(panel.select.value);
        drawMaps();
      });
      caption.append(" ", panel.select);
    }
    caption.append(panel.readout);
    panel.figure = node(
      "figure",
      {},
      caption,
      node("div", { className: "globe" }, panel.canvas),
      panel.bar,
    );
    const { canvas } = panel;
    canvas.addEventListener("click", (event) =>
      chooseSite(Maps.pointAt(canvas, event, state.centre)),
    );
    canvas.addEventListener("pointermove", (event) =>
      showReadouts(Maps.pointAt(canvas, event, state.centre)),
    );
    canvas.addEventListener("pointerleave", () => showReadouts(null));
    canvas.addEventListener("keydown", moveSite);
    $("map-grid").append(panel.figure);
    const box = node("input", { type: "checkbox", checked: panel.on });
    box.addEventListener("change", () => {
      panel.on = box.checked;
      drawMaps();
    });
    const name = panel.slot === undefined ? panel.title : `Member ${"AB"[panel.slot]}`;
    $("panels").append(node("label", {}, box, ` ${name}`));
  }

  function chooseSite(site, place = "") {
    if (!site) return;
    state.site = site;
    state.place = place;
    $("place").value = place;
    drawMaps();
    drawPlume();
  }

  function moveSite(event) {
    const step = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
      event.key
    ];
    if (!step) return;
    event.preventDefault();
    chooseSite({
      row: Math.min(Math.max(state.site.row + step[0], 0), Data.rows - 1),
      column: (state.site.column + step[1] + Data.columns) % Data.columns,
    });
  }

  const siteText = (site) =>
    Geo.placeText(report.latitudes[site.row], report.longitudes[site.column]);
  const unitsOf = (panel) => {
    const { block } = Data.channel(state.channel);
    return panel.id === "error" || panel.id === "spread" ? block.differenceUnits : block.units;
  };

  /** Value of each map under the pointer; without one, at the marked point and globally. */
  function showReadouts(site) {
    for (const panel of PANELS.filter((p) => p.on && available(p))) {
      const values = Data.field(state.channel, panel.kind(), state.lead);
      const units = unitsOf(panel);
      const { row, column } = site || state.site;
      const value = Palette.number(values[row * Data.columns + column]);
      let text = `${site ? `${siteText(site)}:` : "◎"} ${value} ${units}`;
      if (!site && (panel.id === "error" || panel.id === "spread")) {
        text += ` · area RMS ${Palette.number(Data.rootMeanSquare(values))} ${units}`;
      }
      panel.readout.textContent = text;
    }
  }

  function drawMaps() {
    if ($("map-grid").clientWidth < 100) return; // no layout yet, or none while printing
    const { block } = Data.channel(state.channel);
    for (const panel of PANELS) {
      panel.figure.hidden = !panel.on || !available(panel);
    }
    for (const panel of PANELS.filter((p) => !p.figure.hidden)) {
      const scale = Maps.scaleOf(state.channel, panel.kind(), state.lead, state.rescale);
      Maps.draw(panel.canvas, Data.field(state.channel, panel.kind(), state.lead), scale, state);
      Maps.drawBar(panel.bar, scale, unitsOf(panel), panel.id);
      const what = panel.slot === undefined ? panel.title : `Member ${panel.kind() + 1}`;
      panel.canvas.setAttribute(
        "aria-label",
        `Map: ${what} of ${block.label} at ${report.leadHours[state.lead]} h. ` +
          `Marked point ${siteText(state.site)}; the arrow keys move it.`,
      );
    }
    showReadouts(null);
  }

  function drawPlume() {
    const { block, truth, climatology } = Data.channel(state.channel);
    const point = state.site.row * Data.columns + state.site.column;
    const along = (kind) => Data.series(state.channel, kind, point);
    const members = Array.from({ length: block.members }, (_, m) => along(m));
    const series = members.map((values) => ({
      name: `Members (${block.members})`,
      style: "member",
      values,
      order: 3,
    }));
    if (climatology)
      series.push({
        name: "Climatology",
        style: "climatology",
        values: along("climatology"),
        order: 4,
      });
    series.push({ name: "Ensemble mean", style: "mean", values: along("mean"), order: 1 });
    if (truth) series.push({ name: "Truth", style: "truth", values: along("truth"), order: 2 });
    const now = members.map((values) => values[state.lead]);
    const number = (kind) => Palette.number(Data.field(state.channel, kind, state.lead)[point]);
    const where = state.place
      ? `${state.place} (grid point ${siteText(state.site)})`
      : siteText(state.site);
    $("plume-readout").textContent =
      `${where}, +${report.leadHours[state.lead]} h: mean ${number("mean")}` +
      (block.members > 1 ? ` ± ${number("spread")}` : "") +
      `, members ${Palette.number(Math.min(...now))} to ${Palette.number(Math.max(...now))}` +
      (truth ? `, truth ${number("truth")}` : "") +
      ` ${block.units}`;
    Charts.draw($("plume"), {
      leads: report.leadHours,
      series,
      yLabel: `${block.label} (${block.units})`,
      label: `${block.label} over lead time at ${where}: members, mean and truth`,
      marker: report.leadHours[state.lead],
      onPick: setLead,
    });
  }

  function drawSkill() {
    const { block } = Data.channel(state.channel);
    const leads = report.leadHours;
    const score = (name, style, key) => ({
      name,
      style,
      values: Scores.series(block.name, key, leads),
    });
    const common = {
      leads,
      marker: leads[state.lead],
      onPick: setLead,
      empty: "This field has no scores in this report.",
    };
    $("skill-title").textContent = block.label;
    Charts.draw($("skill"), {
      ...common,
      yLabel: `Error and spread (${block.differenceUnits})`,
      label: `RMSE of ensemble mean, persistence and climatology, and spread, of ${block.label}`,
      series: [
        score("RMSE of the mean", "mean", "rmse"),
        score("Spread", "spread", "spread"),
        score("RMSE of persistence", "persistence", "rmse_persistence"),
        score("RMSE of climatology", "climatology", "rmse_climatology"),
      ],
    });
    Charts.draw($("ratio"), {
      ...common,
      yLabel: "Ratio (1 is calibrated)",
      reference: 1,
      label: `Ratio of spread to error of ${block.label} over lead time`,
      series: [score("Spread/skill ratio", "mean", "ssr")],
    });
  }

  function drawScorecard() {
    if (!Scores.any) return;
    const metric = $("metric").value;
    $("metric-hint").textContent =
      Scores.METRICS[metric].hint || "In the units beside each field.";
    const selected = report.fields[state.channel].name;
    Scores.draw($("scorecard"), metric, $("variable").value, selected, setChannel);
  }

  function drawAll() {
    drawMaps();
    drawPlume();
    drawSkill();
  }

  function setLead(lead) {
    state.lead = lead;
    const text = `+${report.leadHours[lead]} h · ${report.validTimes[lead]}`;
    $("lead").value = lead;
    $("lead").setAttribute("aria-valuetext", text);
    $("valid").textContent = text;
    drawAll();
  }

  function setChannel(channel) {
    state.channel = channel;
    $("channel").value = channel;
    const { members } = report.fields[channel];
    state.members = state.members.map((m) => Math.min(m, members - 1));
    for (const panel of PANELS.filter((p) => p.select)) {
      options(
        panel.select,
        Array.from({ length: members }, (_, m) => [m, String(m + 1)]),
      );
      panel.select.value = state.members[panel.slot];
    }
    drawAll();
    drawScorecard();
  }

  function togglePlay() {
    const playing = state.timer === null;
    if (playing) {
      state.timer = setInterval(
        () => setLead((state.lead + 1) % report.leadHours.length),
        FRAME_MS,
      );
    } else {
      clearInterval(state.timer);
      state.timer = null;
    }
    $("plume-readout").setAttribute("aria-live", playing ? "off" : "polite");
    $("play").textContent = playing ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", playing ? "Pause the animation" : "Play the animation");
  }

  function connect() {
    options(
      $("channel"),
      report.fields.map((field, i) => [i, field.label]),
    );
    options($("place"), [
      ["", "Point on the map"],
      ...Object.keys(PLACES).map((name) => [name, name]),
    ]);
    options(
      $("metric"),
      Object.entries(Scores.METRICS).map(([key, { label }]) => [key, label]),
    );
    options($("variable"), [
      ["", "All"],
      ...Scores.variables.map((v) => [v, v.replaceAll("_", " ")]),
    ]);
    $("place").value = state.place;
    $("lead").max = report.leadHours.length - 1;
    $("channel").addEventListener("change", (event) => setChannel(Number(event.target.value)));
    $("lead").addEventListener("input", (event) => setLead(Number(event.target.value)));
    $("play").addEventListener("click", togglePlay);
    $("place").addEventListener("change", ({ target }) => {
      if (target.value) chooseSite(nearest(PLACES[target.value]), target.value);
    });
    $("centre").addEventListener("change", ({ target }) => {
      state.centre = Number(target.value);
      drawMaps();
    });
    for (const id of ["smooth", "rescale"]) {
      $(id).addEventListener("change", ({ target }) => {
        state[id] = target.checked;
        drawMaps();
      });
    }
    for (const id of ["metric", "variable"]) $(id).addEventListener("change", drawScorecard);
    $("scorecard-section").hidden = !Scores.any;
    $("all-scores-details").open = !Scores.any;
  }

  let width = 0;
  function redrawWhenResized() {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    drawAll();
  }

  document.documentElement.classList.add("js");
  PANELS.forEach(buildPanel);
  connect();
  $("valid").textContent = report.validTimes[0];
  setChannel(0);
  setLead(Math.min(4, report.leadHours.length - 1));
  new ResizeObserver(redrawWhenResized).observe(document.body);
})();
