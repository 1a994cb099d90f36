"use strict";
// What is not done, by cause, each with the command that makes just those again.
(() => {
  const { make, store } = batchgen;
  const LONGEST = 300;

  const command = (cause) => (cause.command === null ? null : make(
    "div", { class: "command" },
    make("code", { text: cause.command.length > LONGEST ? `${cause.command.slice(0, LONGEST)}…` : cause.command }),
    batchgen.copyButton(cause.command, "Copy"),
  ));

  const card = (cause) => make(
    "article", { class: "cause", data: { state: cause.state } },
    make("header", {},
      make("strong", { text: batchgen.number(cause.jobs) }), batchgen.badge(cause.state),
      cause.code ? make("code", { text: cause.code }) : null,
      make("button", {
        type: "button", class: "small", text: cause.jobs === 1 ? "Show it" : "Show these",
        on: { click: () => { batchgen.view("pictures"); batchgen.filters.only("cause", cause.key); } },
      })),
    cause.words ? make("blockquote", { dir: "auto", text: cause.words }) : null,
    make("p", { class: "dim" }, "e.g. ", ...cause.examples.flatMap((id, at) => [at ? ", " : "", make("bdi", { text: id })])),
    make("p", { text: cause.advice }),
    command(cause),
  );

  batchgen.failures = {
    show() {
      const { causes } = store.head;
      const jobs = causes.reduce((sum, cause) => sum + cause.jobs, 0);
      document.getElementById("failures-count").textContent = jobs ? batchgen.number(jobs) : "";
      document.getElementById("causes").replaceChildren(
        ...(causes.length ? causes.map(card) : [make("p", { class: "empty", text: "Nothing failed." })]),
      );
    },
  };
})();
