"use strict";
// Live updates from the server.
(() => {
  const { make, store, failures, previews, reload } = batchgen;
  const GONE_AFTER = 2500; // milliseconds without the server until the page shows it
  const NIGHT_AGAIN = 3000; // milliseconds
  let source = null;
  let place = null;
  let gone = null;
  let replaced = false;
  let facts = null;
  let causes = "";
  let night = 0;

  const begin = batchgen.begin;
  batchgen.begin = (head) => {
    begin(head);
    place = `${head.live.instance}-${head.live.moment}`;
    listen();
  };

  const listen = () => {
    // A browser allows six connections to a server: a hidden page uses none.
    if (document.hidden || source || place === null || replaced) return;
    source = new EventSource(`events?after=${place}`);
    source.addEventListener("open", () => { alive(true); });
    source.addEventListener("error", () => { gone ??= setTimeout(() => alive(false), GONE_AFTER); });
    source.addEventListener("rows", (event) => {
      batchgen.take(JSON.parse(event.data));
      if (event.lastEventId) place = event.lastEventId;
    });
    source.addEventListener("facts", (event) => { update(JSON.parse(event.data)); });
    // The manifest was reloaded, or the state was replaced.
    source.addEventListener("reload", () => {
      source.close();
      reload.load();
    });
  };

  const alive = (yes) => {
    clearTimeout(gone);
    gone = null;
    document.body.classList.toggle("gone", !yes);
    showStatus(yes);
    if (yes) previews.again();
    else if (source?.readyState === EventSource.CLOSED) refused();
  };

  // A response that is not a stream closes the source for good. If our own address is unknown, another
  // server has taken the port; otherwise this one may come back.
  const refused = async () => {
    source = null;
    try {
      replaced = !(await fetch("assets/icon.svg", { cache: "no-store" })).ok;
    } catch {
      replaced = false;
    }
    if (replaced) showStatus(false);
    else setTimeout(listen, GONE_AFTER);
  };

  // Markup from our own server's template, which escapes all text.
  const parsed = (html) => [...new DOMParser().parseFromString(html, "text/html").body.childNodes];

  const update = (message) => {
    facts = message;
    Object.assign(store.head, message.head);
    batchgen.grid.hold(() => {
      document.querySelector(".line").replaceChildren(...parsed(message.line));
      showStatus(true);
      batchgen.limits.show(message.limits);
    });
    const now = JSON.stringify(message.head);
    if (now !== causes) {
      causes = now;
      failures.count();
      if (!document.getElementById("view-failures").hidden) failures.show();
    }
    document.getElementById("nothing").textContent = store.loaded ? "Nothing matches." : "No jobs yet.";
    draw();
  };

  const news = () => {
    if (replaced) return ["The server was restarted, and this page belongs to the old one: open the new address that it printed."];
    if (document.body.classList.contains("gone")) return ["The server is gone: this page is out of date, and nothing can be picked. Start it again:", facts?.again];
    if (!facts) return null;
    if (facts.trouble) return [`The state cannot be read just now: ${facts.trouble}`];
    if (facts.waiting) return ["Nothing has been run yet. This page updates itself once a run begins:", facts.goesOn];
    if (facts.atWork === false && facts.goesOn) return ["No run is in progress, and not everything is done. To continue:", facts.goesOn];
    if (facts.approves) return ["Everything left waits for your approval: look, and press a. Or approve all:", facts.approves];
    return null;
  };

  const showStatus = (yes) => {
    const state = !yes ? "gone" : facts?.trouble ? "trouble" : facts?.atWork ? "running" : "idle";
    for (const mark of document.querySelectorAll(".live")) {
      if (mark.dataset.live === state) continue;
      mark.dataset.live = state;
      mark.textContent = { gone: "not live", trouble: "not live", running: "live, running", idle: "live" }[state];
    }
    const text = news();
    const line = document.getElementById("news");
    const shownNews = JSON.stringify(text);
    line.hidden = text === null;
    if (text === null || line.dataset.shownNews === shownNews) return;
    line.dataset.shownNews = shownNews;
    const [before, command] = text;
    line.replaceChildren(...[
      make("span", { text: before }),
      command && make("code", { text: command }), command && batchgen.copyButton(command),
    ].filter(Boolean));
  };

  // The Night view is only fetched while it is visible.
  const draw = async () => {
    const view = document.getElementById("view-night");
    if (view.hidden || !facts || facts.night === night) return;
    night = facts.night;
    try {
      const answer = await fetch("night");
      if (answer.ok) view.replaceChildren(...parsed(await answer.text()));
      else forget();
    } catch {
      forget(); // the event stream shows that the server is gone
    }
  };

  const forget = () => {
    night = 0;
    setTimeout(() => { if (!document.body.classList.contains("gone")) draw(); }, NIGHT_AGAIN);
  };

  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(draw).observe(document.getElementById("view-night"), { attributeFilter: ["hidden"] });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) {
        listen();
        return;
      }
      source?.close();
      source = null;
      clearTimeout(gone);
      gone = null;
    });
    // A page being left must not show that the server is gone.
    addEventListener("pagehide", () => { source?.close(); });
  });
})();
