"use strict";
// What happens, as the server tells it.
(() => {
  const { make, store, failures, previews, again } = batchgen;
  const GONE_AFTER = 2500; // milliseconds without the server until the page says so
  const NIGHT_AGAIN = 3000; // milliseconds
  let source = null;
  let place = null;
  let gone = null;
  let anew = false;
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
    // A browser has six connections to a server: a page that nobody looks at holds none.
    if (document.hidden || source || place === null || anew) return;
    source = new EventSource(`events?after=${place}`);
    source.addEventListener("open", () => { alive(true); });
    source.addEventListener("error", () => { gone ??= setTimeout(() => alive(false), GONE_AFTER); });
    source.addEventListener("rows", (event) => {
      batchgen.take(JSON.parse(event.data));
      if (event.lastEventId) place = event.lastEventId;
    });
    source.addEventListener("facts", (event) => { tell(JSON.parse(event.data)); });
    // The manifest was read anew, or another state stands there.
    source.addEventListener("reload", () => {
      source.close();
      again.load();
    });
  };

  const alive = (yes) => {
    clearTimeout(gone);
    gone = null;
    document.body.classList.toggle("gone", !yes);
    say(yes);
    if (yes) previews.again();
    else if (source?.readyState === EventSource.CLOSED) refused();
  };

  // An answer other than a stream ends a source for good. Where our own address is known no more,
  // another server has taken the port; else this one may come back.
  const refused = async () => {
    source = null;
    try {
      anew = !(await fetch("assets/icon.svg", { cache: "no-store" })).ok;
    } catch {
      anew = false;
    }
    if (anew) say(false);
    else setTimeout(listen, GONE_AFTER);
  };

  // Markup of our own server's template, in which all text is escaped.
  const parsed = (html) => [...new DOMParser().parseFromString(html, "text/html").body.childNodes];

  const tell = (told) => {
    facts = told;
    Object.assign(store.head, told.head);
    batchgen.grid.hold(() => {
      document.querySelector(".line").replaceChildren(...parsed(told.line));
      say(true);
    });
    const now = JSON.stringify(told.head);
    if (now !== causes) {
      causes = now;
      failures.count();
      if (!document.getElementById("view-failures").hidden) failures.show();
    }
    document.getElementById("nothing").textContent = store.loaded ? "Nothing matches." : "Nothing is there yet.";
    draw();
  };

  const news = () => {
    if (anew) return ["The server was started anew, and this page is of the one before: open the address that it said when it started."];
    if (document.body.classList.contains("gone")) return ["The server is gone: this is how it stood, and nothing can be picked. Start it again:", facts?.again];
    if (!facts) return null;
    if (facts.trouble) return [`The state cannot be read just now: ${facts.trouble}`];
    if (facts.waiting) return ["Nothing was run yet. This page comes alive when the run begins:", facts.goesOn];
    if (facts.atWork === false && facts.goesOn) return ["No runner is at work, and not all is done. To go on:", facts.goesOn];
    if (facts.approves) return ["All that is left waits for your word: look, and press a. Or approve all:", facts.approves];
    return null;
  };

  const say = (yes) => {
    const state = !yes ? "gone" : facts?.trouble ? "trouble" : facts?.atWork ? "running" : "idle";
    for (const mark of document.querySelectorAll(".live")) {
      if (mark.dataset.live === state) continue;
      mark.dataset.live = state;
      mark.textContent = { gone: "not live", trouble: "not live", running: "live, running", idle: "live" }[state];
    }
    const text = news();
    const line = document.getElementById("news");
    const said = JSON.stringify(text);
    line.hidden = text === null;
    if (text === null || line.dataset.said === said) return;
    line.dataset.said = said;
    const [before, command] = text;
    line.replaceChildren(...[
      make("span", { text: before }),
      command && make("code", { text: command }), command && batchgen.copyButton(command),
    ].filter(Boolean));
  };

  // The night is read when somebody looks at it.
  const draw = async () => {
    const view = document.getElementById("view-night");
    if (view.hidden || !facts || facts.night === night) return;
    night = facts.night;
    try {
      const answer = await fetch("night");
      if (answer.ok) view.replaceChildren(...parsed(await answer.text()));
      else forget();
    } catch {
      forget(); // the stream says that the server is gone
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
    // A page that is left must not tell that the server is gone.
    addEventListener("pagehide", () => { source?.close(); });
  });
})();
