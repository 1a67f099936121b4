"use strict";

/** What a page counts itself, of its own fields at one lead: ranks and frequencies of events. */
const Counts = (() => {
  const { report } = Data;

  /**
   * Area-weighted counts of the truth's rank among members, at one lead of the page: among the
   * first of each pair, since the truth lies between partners more often than between others.
   */
  function ranks(state) {
    const { block, truth } = Data.channel(state.channel);
    if (!truth || block.members < 2) return [];
    const each = block.pairs ? 2 : 1;
    const known = Data.field(state.channel, "truth", state.lead);
    const members = Array.from({ length: block.members / each }, (_, k) =>
      Data.field(state.channel, each * k, state.lead),
    );
    const counts = new Array(members.length + 1).fill(0);
    for (let i = 0; i < Data.points; i++) {
      if (Number.isNaN(known[i])) continue;
      let [below, ties] = [0, 0];
      for (const values of members) {
        if (values[i] < known[i]) below++;
        else if (values[i] === known[i]) ties++;
      }
      const share = report.areaWeights[Math.floor(i / Data.columns)] / (ties + 1);
      for (let rank = below; rank <= below + ties; rank++) counts[rank] += share;
    }
    return counts;
  }

  /** Forecast probability, observed frequency and weight of each number of members. */
  function reliability(state) {
    const { block, truth } = Data.channel(state.channel);
    if (!truth || block.members < 2) return [];
    Data.countEvent(state.channel, state.threshold, state.above);
    const chances = Data.field(state.channel, "probability", state.lead);
    const known = Data.field(state.channel, "truth", state.lead);
    const bins = Array.from({ length: block.members + 1 }, () => [0, 0]);
    for (let i = 0; i < Data.points; i++) {
      if (Number.isNaN(chances[i]) || Number.isNaN(known[i])) continue;
      const bin = bins[Math.round((chances[i] / 100) * block.members)];
      const weight = report.areaWeights[Math.floor(i / Data.columns)];
      bin[0] += weight;
      if (state.above ? known[i] > state.threshold : known[i] < state.threshold) bin[1] += weight;
    }
    return bins.map(([count, seen], k) => ({
      forecast_probability: k / block.members,
      observed_frequency: count ? seen / count : null,
      count,
    }));
  }

  return { ranks, reliability };
})();
