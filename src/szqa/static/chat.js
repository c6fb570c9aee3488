// Runs once for each part of the chat (header, conversation, composer, panel), with Gradio's `element`, `trigger`,
// `props` and `watch`. It passes on what was clicked or typed as 'act', and keeps focus, scrolling and announcements
// right when a part is drawn anew. Texts are put in by the server, escaped; nothing here makes HTML.
const page = document;
const part = (name) => page.getElementById("szqa-" + name);
const keyed = (key) => page.querySelector(`[data-key="${CSS.escape(key)}"]`);
const inPanel = (key) => part("panel").querySelector("[data-from]")?.dataset.from === key;
const PATIENCE_MS = 1000; // doubled with every try
const HEALTH_MS = 10_000;
const TRIES = 5;
const KEPT = "szqa-question";
const asked = new Map(); // questions that the server is not known to have taken, by task
let focused = null; // {node, key}: where the focus was when something was sent
let newest = null; // {html, visit, version} or, for the panel, {html}

const send = (values) => {
  const node = page.activeElement;
  focused = element.contains(node) && node.dataset.key ? { node, key: node.dataset.key } : null;
  const [first, second] = crypto.getRandomValues(new Uint32Array(2));
  deliver({ task: first.toString(36) + second.toString(36), ...values }, 1);
};

// Gradio closes its stream of events when nothing is under way, and what is sent just then is carried out without a
// word of it coming back; it also forgets what it could not send. So an action is sent until a view says that it was
// taken; the server takes each task once.
const deliver = (values, tries) => {
  if (values.act === "ask") asked.set(values.task, values.question);
  trigger("act", values);
  setTimeout(() => taken(values) || findServer(values, tries), PATIENCE_MS * 2 ** (tries - 1));
};

const taken = ({ act, key, task }) => {
  if (["cite", "passage"].includes(act)) return inPanel(key) || part("panel").dataset.wanted !== key || !keyed(key);
  const arrived = part("conversation").querySelector(".log")?.dataset.taken.split(" ").includes(task);
  if (arrived) asked.delete(task);
  return arrived;
};

/** Nothing has come back so far: is the server there at all? */
const findServer = async (values, tries) => {
  let there = false;
  try {
    there = (await fetch("./api/health", { cache: "no-store", signal: AbortSignal.timeout(HEALTH_MS) })).ok;
  } catch {} // not there
  if (taken(values)) return;
  if (there && tries < TRIES) return deliver(values, tries + 1);
  const away = page.getElementById("szqa-away");
  away.textContent = away.dataset.text;
  // What was typed is not lost.
  if (values.act === "ask") giveBack(values);
};

/** Put a question that did not arrive before what has been typed since; sent again as it is, it is the same task. */
const giveBack = ({ task, question }) => {
  asked.delete(task);
  const box = page.getElementById("szqa-question");
  put([question, box.value].filter(Boolean).join("\n"));
  Object.assign(box.dataset, { task, question });
};

/** It had arrived after all. */
const takeBack = (log) => {
  const box = page.getElementById("szqa-question");
  const { task, question } = box?.dataset ?? {};
  if (!task || !log.dataset.taken.split(" ").includes(task)) return;
  if (box.value === question) put("");
  delete box.dataset.task;
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

const put = (text) => {
  const box = page.getElementById("szqa-question");
  box.value = text;
  grow(box);
};

const fill = (text) => {
  put(text);
  page.getElementById("szqa-question").focus();
};

// Where the connection broke, the page has to be loaded anew.
const keep = () => {
  const box = element.querySelector("#szqa-question");
  if (!box) return;
  try {
    sessionStorage.setItem(KEPT, [...asked.values(), box.value].filter(Boolean).join("\n"));
  } catch {} // a browser that stores nothing
};

const restore = () => {
  try {
    const kept = sessionStorage.getItem(KEPT);
    sessionStorage.removeItem(KEPT);
    if (kept) put(kept);
  } catch {} // a browser that stores nothing
};

const closePanel = () => {
  const panel = part("panel");
  const from = panel.querySelector("[data-from]")?.dataset.from;
  panel.dataset.wanted = "";
  panel.classList.remove("open");
  page.getElementById("szqa")?.classList.remove("with-panel");
  (keyed(from || "") || page.getElementById("szqa-question"))?.focus();
};

/** Remember which source is to be shown; true where it is there already. */
const wantPanel = (key) => {
  part("panel").dataset.wanted = key;
  if (inPanel(key)) openPanel();
  return inPanel(key);
};

const openPanel = () => {
  const source = part("panel").querySelector(".source");
  part("panel").classList.add("open");
  page.getElementById("szqa")?.classList.add("with-panel");
  // Not out of a question that is being typed.
  const typing = page.activeElement?.id === "szqa-question";
  if (!typing) source.querySelector("#szqa-source-title").focus({ preventScroll: true });
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

addEventListener("pagehide", keep);

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
    const { task, question } = page.getElementById("szqa-question").dataset;
    if (task && values.question === question) values.task = task;
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
  if (element.querySelector("#szqa-question")) restore();
  for (const node of element.querySelectorAll("[data-origin]")) node.textContent = location.origin;
  const log = element.querySelector(".log");
  if (log) {
    takeBack(log);
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
  } else if (focused && [focused.node, page.body].includes(page.activeElement)) {
    // Not where the visitor has gone elsewhere since: the next Enter would press this.
    const node = keyed(focused.key);
    node?.focus({ preventScroll: true });
    // An opinion opens a form below it, which may be hidden behind the composer.
    node?.closest(".turn")?.querySelector(".comment")?.scrollIntoView({ block: "nearest" });
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
