"use strict";
// Unfinished jobs by cause, and flaws that a check found, each with the commands that fix just those.
(() => {
  const { make, store, marks } = batchgen;
  const SAFE_KIND = /^[a-z0-9_]+$/; // goes into a command, which is pasted into a shell

  const command = (text) => make("div", { class: "command" }, make("code", { text }), batchgen.copyButton(text));

  const show = (many, facet, value) => make("button", {
    type: "button", class: "small", text: many === 1 ? "Show it" : "Show these",
    on: { click: () => { batchgen.view("pictures"); batchgen.filters.only(facet, value); } },
  });

  const cause = (one) => make(
    "article", { class: "cause", data: { state: one.state } },
    make("header", {},
      make("strong", { text: batchgen.number(one.jobs) }), batchgen.badge(one.state),
      one.code ? make("code", { text: one.code }) : null, show(one.jobs, "cause", one.key)),
    one.words ? make("blockquote", { dir: "auto", text: one.words }) : null,
    make("p", { class: "dim" }, one.jobs > 1 ? "e.g. " : "", ...one.examples.flatMap((id, at) => [at ? ", " : "", make("bdi", { text: id })]),
      " · ", make("code", { text: `--cause=${one.key}` })),
    make("p", { text: one.advice }),
    one.command === null ? null : command(one.command),
  );

  const flaw = ({ kind, results, examples }) => {
    const { commands } = store.head;
    return make(
      "article", { class: "cause", data: { flaw: kind } },
      make("header", {},
        make("strong", { text: batchgen.number(results) }),
        make("span", { class: "badge", data: { state: "unknown" } }, make("span", { "aria-hidden": "true", text: "⚑" }), marks.plain(kind)),
        show(results, "flaw", kind)),
      make("ul", {}, ...examples.map(({ job, words }) => make("li", { class: "dim" }, make("bdi", { text: job.id }), ": ", make("span", { dir: "auto", text: words })))),
      ...(commands && SAFE_KIND.test(kind) ? [
        make("p", { text: "Reject those that are not kept, then retry them. A retry is a new submit, and may cost." }),
        command(`${commands.check} --reject ${kind}`), command(commands.rejected),
      ] : []),
    );
  };

  const kept = batchgen.keeper();
  const card = (key, shows, build) => kept.get(key, JSON.stringify([shows, store.head.commands]), build);
  const flawVersion = ({ results, examples }) => [results, examples.map(({ job, words }) => [job.id, words])];

  const checkAgain = () => (store.head.commands ? [card("check again", "", () => make(
    "div", { class: "again" }, make("p", { class: "dim", text: "Found by a check. Check again with:" }), command(store.head.commands.check),
  ))] : []);

  const rejected = (results) => make(
    "article", { class: "cause", data: { rejected: "" } },
    make("header", {}, make("strong", { text: batchgen.number(results) }),
      make("span", { class: "badge", data: { state: "cancelled" } }, make("span", { "aria-hidden": "true", text: "⊖" }), "rejected"),
      show(results, "pick", "reject")),
    make("p", { text: "A retry is a new submit of the same input, and may cost; with a fixed seed it may give the same picture." }),
    store.head.commands ? command(store.head.commands.rejected) : null,
  );

  const section = (title, cards) => (cards.length ? [card(`part ${title}`, "", () => make("h2", { class: "part", text: title })), ...cards] : []);

  batchgen.failures = {
    // The number on the view's tab; the cards are only built when the view is visible.
    count() {
      const jobs = store.head.causes.reduce((sum, one) => sum + one.jobs, 0);
      document.getElementById("failures-count").textContent = jobs ? batchgen.number(jobs) : "";
    },
    // A card is reused while nothing in it changes, so that copying its command is not disturbed.
    show() {
      const tally = marks.tally();
      const kinds = [...tally.kinds.values()].sort((a, b) => b.results - a.results);
      const cards = [
        ...section("Not done", store.head.causes.map((one) => card(`cause ${one.key}`, one, () => cause(one)))),
        ...section("Flaws", kinds.length ? [...checkAgain(), ...kinds.map((one) => card(`flaw ${one.kind}`, flawVersion(one), () => flaw(one)))] : []),
        ...section("Rejected", tally.rejected ? [card("rejected", tally.rejected, () => rejected(tally.rejected))] : []),
      ];
      const nothing = () => make("p", { class: "empty", text: "Nothing failed, and nothing is flawed or rejected." });
      batchgen.arrange(document.getElementById("causes"), cards.length ? cards : [card("nothing", "", nothing)]);
      kept.done();
    },
  };
})();
