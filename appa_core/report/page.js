"use strict";

/** The page's state, its controls and what is redrawn when one changes. */
(() => {
  const { report } = Data;
  const { options } = Dom;
  const $ = (id) => document.getElementById(id);
  const FRAME_MS = 350; // time for which the animation shows one lead
  const PLACES = {
    ...Object.fromEntries(report.places.map(([name, ...where]) => [name, where])),
    ...Dom.PLACES,
  };
  const nearest = ([latitude, longitude]) =>
    Geo.nearest(report.latitudes, report.longitudes, latitude, longitude);
  const projections = Object.values(Maps.projections);
  const state = {
    channel: 0,
    lead: 0,
    member: 0,
    second: 1,
    site: null,
    place: "",
    projection: projections[0].key,
    centre: projections[0].centre ?? 0,
    smooth: true,
    rescale: false,
    threshold: 0,
    above: true,
    timer: null,
    onPick: pickHour,
  };

  /** Whether the grid reaches a place. */
  function covers([latitude, longitude]) {
    const { row, column } = nearest([latitude, longitude]);
    const spacing = 1.5 * Math.abs(report.latitudes[1] - report.latitudes[0]);
    const east = Math.abs(Geo.wrap(report.longitudes[column] - longitude));
    return Math.abs(report.latitudes[row] - latitude) <= spacing && east <= spacing;
  }

  function chooseSite(site, place = "") {
    if (!site) return;
    state.site = site;
    state.place = place;
    $("place").value = place;
    Panels.draw(state);
    Plume.draw(state);
  }

  function drawScorecard() {
    if (!Scores.any) return;
    const metric = $("metric").value;
    $("metric-hint").textContent =
      Scores.METRICS[metric].hint || "In the units beside each field.";
    const selected = report.fields[state.channel].name;
    Scores.draw($("scorecard"), metric, $("card-variable").value, selected, setChannel);
  }

  function drawAll() {
    Panels.draw(state);
    Plume.draw(state);
    Verification.draw(state);
  }

  /** Choose the lead nearest to an hour. */
  function pickHour(hour) {
    const distances = report.leadHours.map((lead) => Math.abs(lead - hour));
    setLead(distances.indexOf(Math.min(...distances)));
  }

  function setLead(lead) {
    state.lead = lead;
    const text = `+${report.leadHours[lead]} h · ${report.validTimes[lead]}`;
    $("lead").value = lead;
    $("lead").setAttribute("aria-valuetext", text);
    $("valid").textContent = text;
    drawAll();
  }

  /** A round threshold that a fifth of the values exceed; freezing for temperatures. */
  function usualThreshold() {
    const { block, ensemble } = Data.channel(state.channel);
    if (block.units === "°C" && block.level === null) return 0;
    const [, high] = Data.quantiles([ensemble], 0, 0.8);
    return Number(high.toPrecision(2));
  }

  async function setChannel(channel) {
    await Data.load(channel);
    state.channel = channel;
    const { members, variable, level, units } = report.fields[channel];
    $("variable").value = variable;
    offerLevels(variable);
    $("level").value = level;
    state.member = Math.min(state.member, members - 1);
    state.second = Math.min(state.second, members - 1);
    options($("member"), Panels.offerMembers(state));
    $("member").value = state.member;
    state.threshold = usualThreshold();
    $("threshold").value = state.threshold;
    $("threshold-units").textContent = units;
    Verification.offerEvents(state);
    drawAll();
    drawScorecard();
    document.documentElement.dataset.shown = report.fields[channel].name;
  }

  /** Levels of a variable; the choice is hidden at the surface. */
  function offerLevels(variable) {
    const levels = report.fields.filter((f) => f.variable === variable).map((f) => f.level);
    levels.sort((a, b) => a - b);
    $("level-control").hidden = levels.length === 1 && levels[0] === null;
    options(
      $("level"),
      levels.map((l) => [l, l === null ? "surface" : `${l} hPa`]),
    );
  }

  /** The channel of a variable at the level shown, or at that nearest to it. */
  function chooseVariable(variable) {
    const { level } = report.fields[state.channel];
    const distance = (field) => Math.abs((field.level ?? 1000) - (level ?? 1000));
    const mine = report.fields.map((f, i) => [f, i]).filter(([f]) => f.variable === variable);
    mine.sort(([a], [b]) => distance(a) - distance(b));
    setChannel(mine[0][1]);
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

  function fillControls() {
    const variables = [...new Set(report.fields.map((f) => f.variable))];
    const named = (v) => Data.nameOf(v).replace(/^./, (c) => c.toUpperCase());
    options(
      $("variable"),
      variables.map((v) => [v, named(v)]),
    );
    const places = Object.keys(PLACES).filter((name) => covers(PLACES[name]));
    options($("place"), [["", "Point on the map"], ...places.map((name) => [name, name])]);
    state.place = report.places.length || !places.includes("Berlin") ? places[0] || "" : "Berlin";
    state.site = state.place
      ? nearest(PLACES[state.place])
      : { row: Data.rows >> 1, column: Data.columns >> 1 };
    $("place").value = state.place;
    options(
      $("projection"),
      projections.map(({ key, name }) => [key, name]),
    );
    options(
      $("metric"),
      Object.entries(Scores.METRICS).map(([key, { label }]) => [key, label]),
    );
    $("metric").value = Scores.first;
    options($("card-variable"), [
      ["", "All"],
      ...Scores.variables.map((v) => [v, Data.nameOf(v)]),
    ]);
    $("lead").max = report.leadHours.length - 1;
    $("scorecard-section").hidden = !Scores.any;
    $("all-scores-details").open = !Scores.any;
  }

  function redrawMaps() {
    Panels.draw(state);
  }

  function connectMapOptions() {
    $("projection").addEventListener("change", ({ target }) => {
      state.projection = target.value;
      const { centre } = Maps.projections[target.value];
      state.centre = centre ?? Number($("centre").value);
      $("centre-control").hidden = centre !== undefined;
      redrawMaps();
    });
    $("centre-control").hidden = projections[0].centre !== undefined;
    $("centre").addEventListener("change", ({ target }) => {
      state.centre = Number(target.value);
      redrawMaps();
    });
    for (const id of ["smooth", "rescale"]) {
      $(id).addEventListener("change", ({ target }) => {
        state[id] = target.checked;
        redrawMaps();
      });
    }
    const readThreshold = () => {
      state.threshold = Number($("threshold").value);
      state.above = $("direction").value === "above";
      redrawMaps();
      Verification.draw(state);
    };
    for (const id of ["threshold", "direction"]) $(id).addEventListener("change", readThreshold);
  }

  function connect() {
    $("variable").addEventListener("change", ({ target }) => chooseVariable(target.value));
    $("level").addEventListener("change", ({ target }) => {
      const level = target.value === "null" ? null : Number(target.value);
      const variable = $("variable").value;
      setChannel(report.fields.findIndex((f) => f.variable === variable && f.level === level));
    });
    $("member").addEventListener("change", ({ target }) => {
      state.member = Number(target.value);
      Panels.draw(state);
      Plume.draw(state);
    });
    $("lead").addEventListener("input", ({ target }) => setLead(Number(target.value)));
    $("play").addEventListener("click", togglePlay);
    $("place").addEventListener("change", ({ target }) => {
      if (target.value) chooseSite(nearest(PLACES[target.value]), target.value);
    });
    connectMapOptions();
    for (const id of ["metric", "card-variable"]) $(id).addEventListener("change", drawScorecard);
  }

  let width = 0;
  function redrawWhenResized() {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    drawAll();
  }

  async function start() {
    document.documentElement.classList.add("js");
    fillControls();
    Panels.connect(state, { onSite: chooseSite, redraw: redrawMaps });
    connect();
    await Verification.connect(() => Verification.draw(state));
    state.lead = Math.min(4, report.leadHours.length - 1);
    await setChannel(0);
    setLead(state.lead);
    new ResizeObserver(redrawWhenResized).observe(document.body);
  }

  start();
})();
