"use strict";
// Builds elements without markup: every text is inserted as text, whatever it contains.
window.batchgen = {};

batchgen.make = (name, { on = {}, data = {}, ...attributes } = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") element.className = value;
    else if (key === "text") element.textContent = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  Object.assign(element.dataset, data);
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

// States differ by shape and word; colour only helps.
batchgen.GLYPHS = {
  done: "✓", failed: "✕", unknown: "?", lost: "◌", cancelled: "⊘", blocked: "⛌",
  pending: "·", submitting: "↑", queued: "⋯", running: "▸", fetching: "↓",
};

batchgen.number = (value) => value.toLocaleString("en-US");

batchgen.badge = (state) => batchgen.make(
  "span", { class: "badge", data: { state } },
  batchgen.make("span", { "aria-hidden": "true", text: batchgen.GLYPHS[state] ?? "·" }), state,
);

batchgen.alias = (model) => {
  const words = model.split("/").pop().split(/[^A-Za-z0-9]+/).filter(Boolean);
  if (words.length < 2) return (words[0] ?? "job").toLowerCase();
  return words.map((word) => (word === "to" ? "2" : word[0])).join("").toLowerCase();
};

batchgen.say = (text) => {
  const place = document.getElementById("said");
  // Outside an open dialog it would be covered, and not announced by screen readers.
  (document.querySelector("dialog[open]") ?? document.body).append(place);
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(batchgen.sayTimer);
  batchgen.sayTimer = setTimeout(() => place.classList.remove("shown"), 1800);
};

document.addEventListener("close", () => document.body.append(document.getElementById("said")), true);

batchgen.copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Some browsers deny the clipboard to pages from file://.
    const field = batchgen.make("textarea", { class: "offstage", "aria-hidden": "true" });
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  batchgen.say("Copied");
};

batchgen.copyButton = (text, label = "Copy") => batchgen.make(
  "button", { type: "button", class: "small copy", on: { click: () => batchgen.copy(text) }, text: label },
);
