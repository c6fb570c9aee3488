// Runs once for each part of the chat (header, conversation, composer, panel), with Gradio's `element`, `trigger`,
// `props` and `watch`. It passes on what was clicked or typed as 'act', and keeps focus, scrolling and announcements
// right when a part is drawn anew. Texts are put in by the server, escaped; nothing here makes HTML.
const page = document;
const part = (name) => page.getElementById("szqa-" + name);
const PATIENCE_MS = 2000;
let focused = null;
let newest = null; // {html, visit, version} or, for the panel, {html}

const send = (values) => {
  focused = element.contains(page.activeElement) ? page.activeElement.dataset.key : null;
  trigger("act", values);
  const before = part("conversation").dataset.drawn;
  setTimeout(() => part("conversation").dataset.drawn === before && findServer(values), PATIENCE_MS);
};

/** Nothing has come back so far: is the server there at all? */
const findServer = async (values) => {
  let there = false;
  try {
    there = (await fetch("./api/health", { cache: "no-store" })).ok;
  } catch {} // not there
  const away = page.getElementById("szqa-away");
  away.textContent = there ? "" : away.dataset.text;
  // What was typed is not lost.
  const box = page.getElementById("szqa-question");
  if (!there && values.act === "ask" && !box.value) fill(values.question);
};

const say = (text) => {
  let live = page.getElementById("szqa-live");
  if (!live) {
    live = page.createElement("div");
    live.id = "szqa-live";
    live.className = "sr";
    live.setAttribute("role", "status");
    page.body.append(live);
  }
  live.textContent = text || "";
};

const grow = (box) => {
  box.style.height = "auto";
  box.style.height = Math.min(box.scrollHeight + 2, 160) + "px";
};

const fill = (text) => {
  const box = page.getElementById("szqa-question");
  if (!box) return;
  box.value = text;
  grow(box);
  box.focus();
};

const closePanel = () => {
  const panel = part("panel");
  const from = panel.querySelector("[data-from]")?.dataset.from;
  panel.dataset.wanted = "";
  panel.classList.remove("open");
  page.getElementById("szqa")?.classList.remove("with-panel");
  (page.querySelector(`[data-key="${CSS.escape(from || "")}"]`) || page.getElementById("szqa-question"))?.focus();
};

/** Remember which source is to be shown; true where it is there already. */
const wantPanel = (key) => {
  const panel = part("panel");
  panel.dataset.wanted = key;
  const there = panel.querySelector("[data-from]")?.dataset.from === key;
  if (there) openPanel();
  return there;
};

const openPanel = () => {
  const source = part("panel").querySelector(".source");
  part("panel").classList.add("open");
  page.getElementById("szqa")?.classList.add("with-panel");
  source.querySelector("#szqa-source-title").focus({ preventScroll: true });
  (source.querySelector("mark") || source.querySelector(".here"))?.scrollIntoView({ block: "center" });
};

const copy = async (button) => {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Not a secure context: the old way, through a selection.
    const box = page.createElement("textarea");
    box.value = button.dataset.copy;
    page.body.append(box);
    box.select();
    page.execCommand("copy");
    box.remove();
    button.focus();
  }
  button.textContent = button.dataset.done;
  say(button.dataset.done);
  setTimeout(() => (button.textContent = label), 1500);
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do === "copy") return copy(button);
  if (button.dataset.do === "close") return closePanel();
  if (!button.dataset.act) return;
  if (["cite", "passage"].includes(button.dataset.act) && wantPanel(button.dataset.key)) return;
  if (button.dataset.act === "clear") closePanel();
  send({ ...button.dataset });
  if (button.dataset.act === "undo") fill(button.dataset.fill);
  if (["clear", "ask"].includes(button.dataset.act)) page.getElementById("szqa-question")?.focus();
});

element.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const values = Object.fromEntries(new FormData(form));
  if (form.dataset.act === "ask") {
    if (!values.question.trim()) return;
    fill("");
  }
  send({ ...form.dataset, ...values });
});

element.addEventListener("keydown", (event) => {
  // 229: the Enter that ends a composition in Safari; it chooses a word and sends nothing.
  const composing = event.isComposing || event.keyCode === 229;
  if (event.key === "Enter" && !event.shiftKey && !composing && event.target.matches("textarea")) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
  if (event.key === "Escape" && !composing && part("panel")?.classList.contains("open")) closePanel();
});

element.addEventListener("input", (event) => {
  if (event.target.matches("textarea")) grow(event.target);
});

const drawn = () => {
  for (const node of element.querySelectorAll("[data-origin]")) node.textContent = location.origin;
  const log = element.querySelector(".log");
  if (log) {
    const { dataset } = part("conversation");
    dataset.drawn = Number(dataset.drawn || 0) + 1;
    const away = page.getElementById("szqa-away");
    if (away) away.textContent = "";
    page.documentElement.lang = log.dataset.lang;
    say(log.dataset.status);
    const turns = log.querySelectorAll(".turn");
    const last = turns[turns.length - 1];
    const state = log.dataset.turns + log.dataset.status;
    if (last && element.dataset.state !== state) last.scrollIntoView({ block: "start" });
    element.dataset.state = state;
  }
  const source = element.querySelector(".source");
  if (source) {
    openPanel();
  } else if (focused) {
    const key = element.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    key?.focus({ preventScroll: true });
    // An opinion opens a form below it, which may be hidden behind the composer.
    key?.closest(".turn")?.querySelector(".comment")?.scrollIntoView({ block: "nearest" });
  }
};

// Views of events that run side by side arrive in any order, and the last one of each arrives twice.
const overtaken = () => {
  const { visit, version, from } = element.querySelector("[data-version], [data-from]")?.dataset ?? {};
  if (from) return from !== part("panel").dataset.wanted;
  return Boolean(visit) && newest?.visit === visit && Number(version) < newest.version;
};

watch("value", () => {
  if (overtaken()) {
    props.value = newest?.html ?? "";
    return;
  }
  const { visit, version } = element.querySelector("[data-version]")?.dataset ?? {};
  newest = { html: props.value, visit, version: Number(version) };
  requestAnimationFrame(drawn);
});
drawn();
