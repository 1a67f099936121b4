"use strict";

/** Charts of how good a run is: scores by lead, ranks, reliability, spectra. */
const Verification = (() => {
  const { report } = Data;
  const $ = (id) => document.getElementById(id);
  const { options } = Dom;
  let tables = null;
  let rows = [];

  const NAMES = {
    rmse: "RMSE of the mean",
    bias: "Bias of the mean",
    mae: "Mean absolute error",
    acc: "Anomaly correlation",
    crps: "CRPS (fair)",
    crps_ensemble: "CRPS (of the members as they are)",
    spread: "Spread",
    ssr: "Spread/skill ratio",
    energy: "Energy score",
    variogram: "Variogram score",
    rank_chi2_p: "p of a flat rank histogram",
  };
  const REFERENCES = { ssr: 1, bias: 0, acc: 1 };
  const UNITLESS = new Set(["acc", "ssr", "variogram", "rank_chi2_p"]);
  const STYLES = { ensemble: "mean", persistence: "persistence", climatology: "climatology" };
  const SOURCES = {
    truth: "truth",
    members: "mean",
    mean: "spread",
    autoencoder: "persistence",
  };

  const nameOf = (score) => {
    if (score.startsWith("coverage:")) return `Coverage of the ${score.slice(9)} % interval`;
    if (score.startsWith("brier:")) return `Brier score: ${score.slice(6)}`;
    return NAMES[score] || score.replaceAll("_", " ");
  };

  /** A name without hyphens, or a box: south, north, west, east. */
  const regionName = (region) =>
    region.includes(",")
      ? `${region.replaceAll("-", "−").split(",").join("°, ")}°`
      : region.replaceAll("-", " ");

  /** The scores that come with a result itself, as rows like those of an evaluation. */
  function plainScores() {
    const parts = [
      ["ensemble", "rmse", "rmse"],
      ["ensemble", "crps", "crps"],
      ["ensemble", "spread", "spread"],
      ["ensemble", "ssr", "ssr"],
      ["persistence", "rmse", "rmse_persistence"],
      ["climatology", "rmse", "rmse_climatology"],
    ];
    return report.scores.flatMap((row) =>
      parts
        .filter(([, , key]) => row[key] !== null)
        .map(([forecast, score, key]) => ({
          forecast,
          score,
          variable: row.variable,
          level: row.level,
          lead_hours: row.lead,
          region: "global",
          season: "all",
          value: row[key],
          low: null,
          high: null,
        })),
    );
  }

  const ofChannel = (list, block) =>
    list.filter((r) => r.variable === block.variable && r.level === block.level);
  const inRegion = (list, region) =>
    list.filter((r) => (r.region ?? region) === region && (r.season ?? "all") === "all");

  /** Rows of a score by time; where there are none, those of all times together. */
  function rowsOf(list, score) {
    const all = list.filter((r) => r.score === score);
    const dated = all.filter((r) => r.lead_hours !== null);
    return dated.length ? dated : all;
  }

  function series(list, score, names) {
    const found = rowsOf(list, score);
    const forecasts = [...new Set(found.map((r) => r.forecast))];
    return forecasts.map((forecast) => {
      const mine = found
        .filter((r) => r.forecast === forecast)
        .sort((a, b) => a.lead_hours - b.lead_hours);
      const band = mine.filter((r) => Charts.isNumber(r.low));
      return {
        name: names(forecast),
        style: STYLES[forecast] || "member",
        points: mine.flatMap((r) => hoursOf(r).map((hour) => [hour, r.value])),
        band: band.length
          ? band.flatMap((r) => hoursOf(r).map((hour) => [hour, r.low, r.high]))
          : undefined,
      };
    });
  }

  /** The hour of a row; of one for all times together, the first and the last of the page. */
  function hoursOf(row) {
    const { leadHours } = report;
    return row.lead_hours === null ? [leadHours[0], leadHours.at(-1)] : [row.lead_hours];
  }

  /** Whether a row is of a time of the page, or of all together. */
  const isAt = (row, lead) => row.lead_hours === lead || row.lead_hours === null;

  function drawScores(state) {
    const { block } = Data.channel(state.channel);
    const mine = inRegion(ofChannel(rows, block), $("region").value);
    const leads = report.leadHours;
    const common = {
      x: { label: `${report.hoursLabel} (h)`, hours: true },
      marker: leads[state.lead],
      onPick: state.onPick,
      empty: "This field has no scores in this report.",
    };
    // an evaluation of an analysis has scores of all times together; those by time say more
    const pooled = mine.length > 0 && mine.every((r) => r.lead_hours === null);
    const dated = pooled ? ofChannel(plainScores(), block) : [];
    const byTime = dated.length ? dated : mine;
    const spread = series(byTime, "spread", () => "Spread").map((s) => ({ ...s, style: "spread" }));
    const label = (forecast) =>
      forecast === "ensemble" ? "RMSE of the mean" : `RMSE of ${forecast}`;
    Charts.draw($("skill"), {
      ...common,
      y: { label: `Error and spread (${block.differenceUnits})` },
      label: `RMSE of ensemble mean and baselines, and spread, of ${block.label}`,
      series: [...series(byTime, "rmse", label), ...spread],
    });
    const score = $("score").value;
    const units = UNITLESS.has(score) || score.includes(":") ? "" : ` (${block.differenceUnits})`;
    const level = score.startsWith("coverage:") ? Number(score.slice(9)) / 100 : REFERENCES[score];
    const [first, last] = [leads[0], leads[leads.length - 1]];
    Charts.draw($("score-lines"), {
      ...common,
      y: { label: `${nameOf(score)}${units}` },
      label: `${nameOf(score)} of ${block.label} over time`,
      series: series(mine, score, (forecast) => forecast),
      references: level === undefined ? [] : [[[first, level], [last, level]]],
    });
    const drawn = ["rmse", "spread", score].flatMap((name) => rowsOf(mine, name));
    $("band-hint").hidden = !drawn.some((r) => Charts.isNumber(r.low));
  }

  function drawRanks(state) {
    const { block } = Data.channel(state.channel);
    const lead = report.leadHours[state.lead];
    const found = inRegion(ofChannel(tables.ranks, block), $("region").value)
      .filter((r) => isAt(r, lead))
      .sort((a, b) => a.rank - b.rank);
    const counts = found.length ? found.map((r) => r.count) : Counts.ranks(state);
    const total = counts.reduce((a, b) => a + b, 0);
    const even = 1 / counts.length;
    const test = inRegion(ofChannel(tables.calibration, block), $("region").value).find((r) =>
      isAt(r, lead),
    );
    $("rank-hint").textContent = found.length
      ? `From the evaluation${test ? `: ${test.verdict}, p of a flat histogram ${Palette.number(test.p)}` : ""}.`
      : "Cells of the maps above, by area; neighbours are not independent, so nothing is tested.";
    $("ranks-block").hidden = !total;
    const ranked = counts.length - 1;
    const ofPairs = block.pairs && ranked === block.members / 2;
    Charts.draw($("ranks"), {
      x: {
        label: `Rank of the truth among ${ranked} members${ofPairs ? ", one of each pair" : ""}`,
        ticks: [0, ranked].map((k) => ({ value: k, text: String(k) })),
      },
      y: { label: "Share", zero: true },
      label: `Rank histogram of ${block.label} at ${lead} h; flat is calibrated`,
      bars: total
        ? counts.map((n, k) => ({ from: k - 0.5, to: k + 0.5, value: n / total }))
        : [],
      references: [[[-0.5, even], [counts.length - 0.5, even]]],
      empty: "There is no truth of this field here.",
    });
  }

  function drawReliability(state) {
    const { block } = Data.channel(state.channel);
    const lead = report.leadHours[state.lead];
    const event = $("event").value;
    const found = inRegion(ofChannel(tables.reliability, block), $("region").value).filter(
      (r) => r.event === event && isAt(r, lead),
    );
    const bins = event ? found : Counts.reliability(state);
    const used = bins
      .filter((b) => b.count > 0)
      .sort((a, b) => a.forecast_probability - b.forecast_probability);
    const total = used.reduce((sum, b) => sum + b.count, 0);
    const half = 0.4 / Math.max(bins.length, 2);
    $("reliability-block").hidden = !total && $("event").options.length < 2;
    Charts.draw($("reliability"), {
      x: { label: "Forecast probability", range: [0, 1] },
      y: { label: "Observed frequency; bars: share of forecasts", range: [0, 1] },
      label: `Reliability of ${block.label} at ${lead} h; the diagonal is calibrated`,
      series: [
        {
          name: "Observed frequency",
          style: "mean",
          dots: true,
          points: used.map((b) => [b.forecast_probability, b.observed_frequency]),
        },
      ],
      bars: used.map((b) => ({
        from: Math.max(b.forecast_probability - half, 0),
        to: Math.min(b.forecast_probability + half, 1),
        value: b.count / total,
      })),
      references: [[[0, 0], [1, 1]]],
      empty: "There is no truth of this field here.",
    });
  }

  function drawSpectra(state) {
    const { block } = Data.channel(state.channel);
    const mine = ofChannel(tables.spectra, block);
    const wanted = report.leadHours[state.lead];
    const leads = [...new Set(mine.map((r) => r.lead_hours))];
    const lead = leads.reduce(
      (best, l) => (Math.abs(l - wanted) < Math.abs(best - wanted) ? l : best),
      leads[0],
    );
    const sources = [...new Set(mine.map((r) => r.source))];
    $("spectra-title").textContent = leads.length ? `Spectra at ${lead} h` : "Spectra";
    $("spectra-block").hidden = !mine.length;
    Charts.draw($("spectra"), {
      x: { label: "Total wavenumber", log: true },
      y: { label: `Power (${block.powerUnits})`, log: true },
      label: `Power of ${block.label} by total wavenumber at ${lead} h`,
      series: sources.map((source) => ({
        name: source,
        style: SOURCES[source] || "member",
        points: mine
          .filter((r) => r.source === source && r.lead_hours === lead && r.wavenumber > 0)
          .sort((a, b) => a.wavenumber - b.wavenumber)
          .map((r) => [r.wavenumber, r.power]),
      })),
      empty: "This report holds no spectra of this field.",
    });
  }

  /** Offer the events of the evaluation that concern a channel, beside the threshold's. */
  function offerEvents(state) {
    const { block } = Data.channel(state.channel);
    const events = [...new Set(ofChannel(tables.reliability, block).map((r) => r.event))];
    const before = $("event").value;
    options($("event"), [["", "The threshold of the maps"], ...events.map((e) => [e, e])]);
    const usual = Data.channel(state.channel).truth ? "" : events[0] || "";
    $("event").value = events.includes(before) ? before : usual;
  }

  /** Read the evaluation and fill the controls; `redraw` is called when one changes. */
  async function connect(redraw) {
    tables = await Data.evaluation();
    rows = tables.scores.length ? tables.scores : plainScores();
    // what is of all cells comes first
    const regions = [...new Set(rows.map((r) => r.region ?? "global"))].sort(
      (a, b) => (b === "global") - (a === "global"),
    );
    const scores = [...new Set(rows.map((r) => r.score))].filter((s) => s !== "rmse");
    options(
      $("region"),
      (regions.length ? regions : ["global"]).map((r) => [r, regionName(r)]),
    );
    options(
      $("score"),
      scores.map((s) => [s, nameOf(s)]),
    );
    $("score").value = scores.includes("ssr") ? "ssr" : scores[0] || "";
    $("region-control").hidden = regions.length < 2;
    $("score-block").hidden = !scores.length;
    for (const id of ["region", "score", "event"]) $(id).addEventListener("change", redraw);
  }

  function draw(state) {
    drawScores(state);
    drawRanks(state);
    drawReliability(state);
    drawSpectra(state);
  }

  return { connect, draw, offerEvents };
})();
