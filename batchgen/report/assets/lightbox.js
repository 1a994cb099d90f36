"use strict";
// One result, large, with everything known about it.
(() => {
  const { make, store, marks } = batchgen;
  let tiles = [];
  let at = 0;
  const lightbox = {};
  batchgen.lightbox = lightbox;
  const dialog = () => document.getElementById("lightbox");

  lightbox.open = (list, place) => {
    tiles = list;
    at = place;
    draw();
    if (!dialog().open) dialog().showModal();
  };

  lightbox.current = () => (dialog().open ? tiles[at] : null);

  lightbox.step = (by) => {
    const next = at + by;
    if (next < 0 || next >= tiles.length) return;
    at = next;
    draw();
  };

  const step = lightbox.step;

  // Go to the next result that can be picked.
  lightbox.onward = () => {
    const next = tiles.findIndex(({ job }, place) => place > at && job.files.length);
    if (next >= 0) step(next - at);
  };

  const draw = () => {
    freshen(tiles[at]);
    const { job, file } = tiles[at];
    document.getElementById("stage").replaceChildren(...media(job, file));
    describe();
    document.getElementById("place").textContent = `${batchgen.number(at + 1)} of ${batchgen.number(tiles.length)}`;
    document.getElementById("previous").disabled = at === 0;
    document.getElementById("next").disabled = at === tiles.length - 1;
    // A removed or disabled button would swallow the keys.
    if (dialog().open && (!dialog().contains(document.activeElement) || document.activeElement.disabled)) dialog().focus();
  };

  const describe = () => {
    const { job, file } = tiles[at];
    batchgen.renew(document.getElementById("about"), about(job, file));
    batchgen.picks?.show(tiles[at]);
  };

  // The list dates from when it was opened; its jobs may have changed since.
  const freshen = (tile) => {
    const { job, file } = tile;
    tile.file = (file && job.files.find((one) => one.key === file.key)) ?? job.files[0] ?? null;
    tile.version = job.version;
  };

  // New rows have arrived: update the description, and let a video play on.
  lightbox.renew = () => {
    if (!dialog().open || tiles[at].version === tiles[at].job.version) return;
    const before = tiles[at].file?.key;
    freshen(tiles[at]);
    if (before !== tiles[at].file?.key || !tiles[at].file) draw();
    else describe();
  };

  const media = (job, file) => {
    if (!file) return [make("p", { class: "why", dir: "auto", text: job.error || `This job is ${job.state}.` })];
    if (store.outOfReach()) return inBucket(job, file);
    const why = store.head.live ? "cannot be read just now" : "is not beside this page";
    if (store.isAudio(file)) {
      const gone = make("p", { class: "note", hidden: true, text: `The sound ${why}.` });
      return [...audio(file, gone), gone];
    }
    const what = store.isVideo(file) ? `The video ${why}: this is its first frame.` : `The original ${why}: this is its preview.`;
    const note = make("p", { class: "note", hidden: true, text: file.thumb ? what : `The file ${why}.` });
    return [store.isVideo(file) ? video(file, note) : still(job, file, note), note];
  };

  const inBucket = (job, file) => {
    const what = store.isAudio(file) ? ["sound", "its loudness"] : store.isVideo(file) ? ["video", "its first frame"] : ["original", "its preview"];
    const picture = file.thumb && make("img", { class: store.isAudio(file) ? "wave" : "large", alt: job.prompt, src: store.thumb(file), width: file.width, height: file.height });
    const note = make("p", { class: "note", text: `The ${what[0]} is in the bucket${picture ? `: this is ${what[1]}` : ""}.` });
    return [picture, note].filter(Boolean);
  };

  // A report copied without the run's folder has no originals.
  const still = (job, file, note) => {
    const picture = make("img", { class: "large", alt: job.prompt, src: store.original(file), width: file.width, height: file.height });
    if (file.thumb) picture.style.backgroundImage = `url("${store.thumb(file)}")`;
    picture.addEventListener("error", () => {
      missing(note);
      if (file.thumb) picture.src = store.thumb(file);
    }, { once: true });
    return picture;
  };

  const video = (file, note) => make("video", {
    class: "large", controls: true, loop: true, playsinline: true, preload: "metadata",
    poster: store.thumb(file), src: store.original(file), width: file.width, height: file.height,
    on: { error: () => missing(note) },
  });

  const audio = (file, note) => [
    file.thumb ? make("img", { class: "wave", alt: "", src: store.thumb(file) }) : null,
    make("audio", { class: "sound", controls: true, preload: "metadata", src: store.original(file), on: { error: () => missing(note) } }),
  ].filter(Boolean);

  const missing = (note) => {
    note.hidden = false;
    document.getElementById("original")?.remove();
  };

  const about = (job, file) => [
    make("div", { class: "who" }, make("h2", {}, make("bdi", { text: job.id })), batchgen.badge(job.state)),
    markPills(job, file),
    flaws(job, file),
    job.error ? make("p", { class: "error", dir: "auto", text: job.error }) : null,
    make("p", { class: "prompt", dir: "auto", text: job.prompt }),
    make("p", { class: "row" }, batchgen.copyButton(job.prompt, "Copy prompt"), batchgen.copyButton(job.id, "Copy id"),
      file && store.head.bucket ? batchgen.copyButton(store.place(file), "Copy location") : null,
      file && !store.outOfReach() ? make("a", { id: "original", class: "small", href: store.original(file), target: "_blank", rel: "noopener", text: "Original" }) : null),
    facts(job, file),
  ].filter(Boolean);

  const markPills = (job, file) => {
    const pills = marks.pills(marks.of(job, file).filter((mark) => mark.name !== "flaw"));
    return pills.length ? make("p", { class: "row pills" }, ...pills) : null;
  };

  const flaws = (job, file) => (file?.flaws.length ? make("ul", { class: "flaws" }, ...file.flaws.map(([kind, words]) => {
    const other = marks.other(words, job);
    return make("li", {}, make("b", { text: marks.plain(kind) }), ": ", make("span", { dir: "auto", text: words }),
      other && make("button", {
        type: "button", class: "small", text: "Show the other",
        // Both, so that the arrow keys switch between them.
        on: { click: () => lightbox.open([{ job, file }, { job: other, file: other.files[0] }], 1) },
      }));
  })) : null);

  const facts = (job, file) => {
    const lines = [
      ["model", job.model], ["sweep", job.sweep], ...job.axes, ["tags", job.tags.join(", ")],
      ["pixels", file && file.width && `${file.width}×${file.height}`], ["bytes", file && batchgen.number(file.bytes)],
      ["length", file && file.length !== null && `${file.length.toFixed(2)} s`],
      ...job.inputs,
      ["cost", job.cost !== null && `${job.cost.toFixed(4)} USD`],
      ["reused", job.reused],
      ["took", job.seconds !== null && `${job.seconds.toFixed(1)} s`],
      ["attempts", job.attempts > 1 && String(job.attempts)], ["request", job.request], ["file", file && store.place(file)],
    ];
    return make("dl", {}, ...lines.filter(([, value]) => value).flatMap(([name, value]) => [
      make("dt", { text: name }), make("dd", { dir: "auto", text: value }),
    ]));
  };

  const KEYS = { ArrowLeft: -1, ArrowRight: 1 };

  addEventListener("DOMContentLoaded", () => {
    document.getElementById("previous").addEventListener("click", () => step(-1));
    document.getElementById("next").addEventListener("click", () => step(1));
    document.getElementById("close").addEventListener("click", () => dialog().close());
    dialog().addEventListener("click", (event) => {
      if (event.target.id === "stage") dialog().close();
    });
    dialog().addEventListener("keydown", (event) => {
      // In a video, the arrow keys belong to the player.
      if (event.target instanceof HTMLVideoElement && event.key.startsWith("Arrow")) return;
      if (event.key in KEYS && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        step(KEYS[event.key]);
      }
    });
    dialog().addEventListener("close", () => {
      // Also stops a video.
      document.getElementById("stage").replaceChildren();
      const place = batchgen.grid.find(tiles[at]);
      if (place >= 0) batchgen.grid.focus(place);
    });
  });
})();
