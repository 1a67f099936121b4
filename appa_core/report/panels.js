"use strict";

/** The panels of maps: what each shows, its controls and its readout. */
const Panels = (() => {
  const { report } = Data;
  const { node, options } = Dom;
  const NARROW = window.matchMedia("(max-width: 600px)").matches;

  /** `needs` is what a channel must have; panels of `few` show on narrow screens from the start. */
  const PANELS = [
    { id: "mean", title: "Ensemble mean", kind: () => "mean", few: true },
    { id: "spread", title: "Spread", kind: () => "spread", needs: "members", few: true },
    { id: "member", title: "Member", kind: (state) => state.member, few: true },
    { id: "truth", title: "Truth", kind: () => "truth", needs: "truth" },
    { id: "error", title: "Error of the mean", kind: () => "error", needs: "truth" },
    { id: "probability", title: "Probability", kind: () => "probability", needs: "members" },
    {
      id: "second",
      title: "Member",
      kind: (state) => state.second,
      needs: "members",
      name: "Second member",
      off: true,
    },
    {
      id: "anomaly",
      title: "Mean minus climatology",
      kind: () => "anomaly",
      needs: "climatology",
      off: true,
    },
  ].map((panel) => ({ ...panel, on: NARROW ? Boolean(panel.few) : !panel.off }));

  const DIFFERENCES = new Set(["error", "spread", "anomaly"]);

  /** Whether the chosen channel has what a panel shows. */
  function available({ needs }, state) {
    const { block, truth, climatology } = Data.channel(state.channel);
    if (needs === "members") return block.members > 1;
    return !needs || Boolean({ truth, climatology }[needs]);
  }

  const shown = (state) => PANELS.filter((p) => p.on && available(p, state));

  function unitsOf(panel, state) {
    const { block } = Data.channel(state.channel);
    if (panel.id === "probability") return "%";
    return DIFFERENCES.has(panel.id) ? block.differenceUnits : block.units;
  }

  function titleOf(panel, state) {
    if (panel.id === "member") return `Member ${state.member + 1}`;
    if (panel.id !== "probability") return panel.title;
    const { units } = Data.channel(state.channel).block;
    const sign = state.above ? ">" : "<";
    return `Probability of ${sign} ${Palette.number(state.threshold)} ${units}`;
  }

  const siteText = (site) =>
    Geo.placeText(report.latitudes[site.row], report.longitudes[site.column]);

  /** Value of each map under the pointer; without one, at the marked point and globally. */
  function showReadouts(state, site) {
    for (const panel of shown(state)) {
      const values = Data.field(state.channel, panel.kind(state), state.lead);
      const units = unitsOf(panel, state);
      const { row, column } = site || state.site;
      const value = Palette.number(values[row * Data.columns + column]);
      let text = `${site ? `${siteText(site)}:` : "◎"} ${value} ${units}`;
      if (!site && DIFFERENCES.has(panel.id)) {
        text += ` · RMS ${Palette.number(Data.rootMeanSquare(values))} ${units}`;
      }
      panel.readout.textContent = text;
    }
  }

  /** Steps of the marked point by key: rows up, columns east. */
  const KEYS = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  function moved(site, key) {
    const [up, right] = KEYS[key];
    return {
      row: Math.min(Math.max(site.row + up, 0), Data.rows - 1),
      column: (site.column + right + Data.columns) % Data.columns,
    };
  }

  function build(panel, state, { onSite, redraw }) {
    panel.canvas = node("canvas", { tabIndex: 0 });
    panel.canvas.setAttribute("role", "application");
    panel.bar = node("div", { className: "bar-holder" });
    panel.readout = node("span", { className: "readout" });
    panel.heading = node("strong", { textContent: panel.title });
    const caption = node("figcaption", {}, panel.heading);
    if (panel.id === "second") {
      panel.select = node("select", { ariaLabel: "Second member" });
      panel.select.addEventListener("change", () => {
        state.second = Number(panel.select.value);
        redraw();
      });
      caption.append(" ", panel.select);
    }
    caption.append(panel.readout);
    const frame = node("div", { className: "globe" }, panel.canvas);
    panel.figure = node("figure", { id: `panel-${panel.id}` }, caption, frame, panel.bar);
    const { canvas } = panel;
    canvas.addEventListener("click", (event) => onSite(Maps.pointAt(canvas, event, state)));
    canvas.addEventListener("pointermove", (event) =>
      showReadouts(state, Maps.pointAt(canvas, event, state)),
    );
    canvas.addEventListener("pointerleave", () => showReadouts(state, null));
    canvas.addEventListener("keydown", (event) => {
      if (!KEYS[event.key]) return;
      event.preventDefault();
      onSite(moved(state.site, event.key));
    });
    document.getElementById("map-grid").append(panel.figure);
    const box = node("input", { type: "checkbox", checked: panel.on });
    box.addEventListener("change", () => {
      panel.on = box.checked;
      redraw();
    });
    const label = node("label", {}, box, ` ${panel.name || panel.title}`);
    document.getElementById("panels").append(label);
  }

  /** Make all panels; `events` has onSite(site) and redraw(). */
  function connect(state, events) {
    for (const panel of PANELS) build(panel, state, events);
  }

  /** Offer as many members as the channel has. */
  function offerMembers(state) {
    const { members } = report.fields[state.channel];
    const list = Array.from({ length: members }, (_, m) => [m, String(m + 1)]);
    for (const panel of PANELS.filter((p) => p.select)) {
      options(panel.select, list);
      panel.select.value = state.second;
    }
    return list;
  }

  function draw(state) {
    if (document.getElementById("map-grid").clientWidth < 100) return; // no layout, or printing
    const { block } = Data.channel(state.channel);
    const visible = new Set(shown(state));
    for (const panel of PANELS) panel.figure.hidden = !visible.has(panel);
    if ([...visible].some((p) => p.id === "probability")) {
      Data.countEvent(state.channel, state.threshold, state.above);
    }
    for (const panel of visible) {
      const kind = panel.kind(state);
      const scale = Maps.scaleOf(state.channel, kind, state.lead, state.rescale);
      Maps.draw(panel.canvas, Data.field(state.channel, kind, state.lead), scale, state);
      Maps.drawBar(panel.bar, scale, unitsOf(panel, state), panel.id);
      panel.heading.textContent = titleOf(panel, state);
      panel.canvas.setAttribute(
        "aria-label",
        `Map: ${titleOf(panel, state)}, ${block.label}, ${report.leadHours[state.lead]} h. ` +
          `Marked point ${siteText(state.site)}; the arrow keys move it.`,
      );
    }
    showReadouts(state, null);
  }

  return { connect, draw, offerMembers, siteText };
})();
