/**
 * szqa: answers from documents, on any page. No cookie.
 *
 *   <script src="https://HOST/widget.js" defer></script>  a button with a panel
 *   <szqa-chat></szqa-chat>                               inline
 *   szqa.init({ title: "…", target: "#here" })            by script; floating without target
 *
 * Options, methods, events: examples/embed.html. What comes from outside is text, never parsed.
 */
(() => {
if (customElements.get("szqa-chat")) return; // loaded twice

const SCRIPT = document.currentScript;
const HOME = new URL(".", SCRIPT?.src || location.href).href;
const TIMEOUT_MS = 30000, MAX_WAIT_S = 120, KEPT_TURNS = 20, SENT_TURNS = 3;

// -- Words

const WORDS = {
	title: "文档问答|Ask the documents",
	greeting: "答案逐字摘自文档，并附原文出处；文档没有的，会如实告诉您。|Answers are quoted from the documents.",
	fab: "打开问答|Open chat",
	close: "关闭|Close",
	clear: "清空对话|Clear",
	ask: "输入问题|Ask a question",
	send: "发送|Send",
	stop: "停止|Stop",
	wait: "正在查找原文…|Searching the documents…",
	understood: "理解为：|Understood as: ",
	none: "文档中没有找到答案|The documents do not say",
	related: "可能相关的段落|Possibly related",
	instead: "可以试试这样问|You could ask",
	good: "有帮助|Helpful",
	bad: "没有帮助|Not helpful",
	thanks: "谢谢反馈|Thank you",
	retry: "重试|Retry",
	away: "连不上问答服务：网络中断、服务暂停，或本网站未获准使用。|Out of reach: offline, down, or closed to this site.",
	timeout: "等了很久仍没有回答。|No answer after a long wait.",
	busy: "现在提问的人较多，请稍后再试。|Busy. Please try again shortly.",
	refused: "请求没有被接受。|The request was not accepted.",
	failed: "服务出错了。|The service failed.",
	stopped: "已停止。|Stopped.",
};
// What Taiwan writes differently in the above: pairs of characters.
const TAIWAN = "档件问問并並处處没沒会會实實诉訴开開关關闭閉对對话話输輸题題发傳为為试試这這样樣帮幫谢謝馈饋连連务務网網络路断斷暂暫获獲现現较較请請后後错錯反回";

// -- Looks

const DARK = "color-scheme:dark;--bg:#17191e;--text:#e9eaee;--muted:#a3a8b3;--line:#343841;--soft:#252931;--mark:#5c4a12";
const CSS = `
:host{all:initial!important;display:block!important;direction:ltr!important}
:host([hidden]),[hidden]{display:none!important}
:host([floating]){position:fixed!important;inset:auto 20px 20px auto!important;z-index:var(--szqa-z,2147483000)!important}
:host([position*=left]){inset-inline:20px auto!important}
:host([position*=top]){inset-block:20px auto!important}
:host([fill]){position:fixed!important;inset:0!important;--szqa-height:100%;--szqa-radius:0}
*{box-sizing:border-box;margin:0}
.root{--accent:var(--szqa-accent,#2b64cc);--bg:#fff;--text:#1c2026;--muted:#5d6470;--line:#e0e3e8;--soft:#f2f4f7;
--mark:#ffeeb0;height:100%;font:15px/1.7 var(--szqa-font,system-ui,sans-serif)}
:host([scheme=dark]) .root{${DARK}}
@media (prefers-color-scheme:dark){:host(:not([scheme=light])) .root{${DARK}}}
button,textarea{font:inherit;color:inherit;background:none;border:0;padding:0;text-align:start}
button:enabled,summary{cursor:pointer}
button:disabled{opacity:.6}
:focus-visible:not(textarea){outline:2px solid var(--accent);outline-offset:2px}
svg{width:20px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
.fab,.send,.tool{display:grid;place-items:center;flex:none;width:36px;height:36px;border-radius:10px;color:var(--muted)}
.fab,.send{border-radius:50%;background:var(--accent);color:var(--szqa-accent-text,#fff)}
.fab{width:56px;height:56px;box-shadow:0 6px 20px #0f172a40}
.fab svg{width:26px}
.tool:hover,.tool[aria-pressed=true]{background:var(--soft)}
.tool[aria-pressed=true] svg{fill:var(--mark)}
.bad svg{rotate:180deg}
.panel{display:flex;flex-direction:column;width:var(--szqa-width,100%);height:var(--szqa-height,560px);overflow:hidden;
background:var(--szqa-bg,var(--bg));color:var(--szqa-text,var(--text));border:1px solid var(--line);
border-radius:var(--szqa-radius,16px)}
:host([floating]) .panel{width:var(--szqa-width,400px);height:var(--szqa-height,640px);max-width:calc(100vw - 40px);
max-height:calc(100vh - 40px);box-shadow:0 16px 48px #0f172a38}
header{display:flex;align-items:center;padding:10px 10px 10px 18px;border-bottom:1px solid var(--line)}
h2{flex:1;font-size:16px}
.log{flex:1;position:relative;overflow:auto;overscroll-behavior:contain;padding:18px;overflow-wrap:anywhere}
.log>*{max-width:720px;margin:0 auto 28px}
.small,figcaption,summary{color:var(--muted);font-size:13px;margin-top:6px}
button.small{text-decoration:underline dotted}
.chips{display:flex;flex-wrap:wrap;gap:0 8px}
.chip{margin-top:8px;padding:5px 14px;border:1px solid var(--line);border-radius:18px}
.chip:hover:enabled{border-color:var(--accent)}
.q{width:fit-content;max-width:88%;margin:0 0 14px auto;padding:8px 14px;border-radius:14px 14px 4px;background:var(--soft)}
.q,.a{white-space:pre-wrap}
.a{font-size:22px;line-height:1.45;font-weight:650}
.long{font-size:17px;line-height:1.7;font-weight:500}
.a a{font-size:13px;font-weight:400;margin:0 3px}
a{color:inherit;text-decoration-color:var(--line)}
figure,.fault{margin-top:12px;padding:0 14px;border-inline-start:3px solid var(--line)}
.fault{border-color:#d9483b}
mark{background:var(--mark);color:inherit;border-radius:3px}
.thumbs{display:flex;align-items:center;margin:6px -8px}
.wait{animation:wait .8s infinite alternate}
.ask{display:flex;align-items:flex-end;margin:4px 14px 14px;padding:4px 4px 4px 16px;border:1px solid var(--line);
border-radius:23px}
.ask:focus-within{outline:2px solid var(--accent)}
textarea{flex:1;min-width:0;resize:none;font-size:16px;line-height:24px;padding:6px 0;max-height:132px;field-sizing:content;
outline:0}
textarea::placeholder{color:var(--muted);opacity:1}
.sr{position:absolute;clip-path:inset(50%)}
@keyframes wait{to{opacity:.4}}
@media (max-width:480px){:host([floating]) .panel{position:fixed;inset:0;min-width:100vw;min-height:100dvh;
border:0;border-radius:0}}
@media (prefers-reduced-motion){*{animation:none!important}}
`;
const ICONS = {
	fab: "M4 5h16v11h-9l-4 4v-4H4zM8 9h8M8 12h5",
	close: "M6 6l12 12M18 6L6 18",
	clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
	send: "M12 19V5M6 11l6-6 6 6",
	stop: "M8 8h8v8H8z",
	thumb: "M4 11h3v9H4zM7 11l4-8q3 0 2.5 3L13 9h5.5q2 0 1.7 2l-1.2 7q-.4 2-2.5 2H7",
};

// -- Small tools

/** An element, as "tag.class": strings become attributes, the rest properties; children are nodes or text. */
const el = (name, props, ...children) => {
	const [tag, ...looks] = name.split(".");
	const node = document.createElement(tag);
	node.classList.add(...looks);
	for (const [key, value] of Object.entries(props)) {
		if (typeof value === "string") node.setAttribute(key, value);
		else node[key] = value;
	}
	node.append(...children);
	return node;
};
const button = (look, onclick, ...children) => el("button." + look, { type: "button", onclick }, ...children);
const icon = (name) => {
	const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
	svg.setAttribute("viewBox", "0 0 24 24");
	path.setAttribute("d", ICONS[name]);
	svg.append(path);
	return svg;
};
const text = (value) => String(value ?? "");
const list = (value) => (Array.isArray(value) ? value.filter(Boolean) : []);

const sheet = new CSSStyleSheet(); // constructed, so that it passes a strict Content-Security-Policy
sheet.replaceSync(CSS);
const keys = new Set(); // under which the chats here are kept

// -- The element

class SzqaChat extends HTMLElement {
	#turns = []; // {question, result?, problem?, vote?, node}
	#request = null; // AbortController of the question under way
	#shown = false;
	#key;
	#ui;

	constructor() {
		super();
		this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
		const ui = (this.#ui = {
			fab: button("fab", () => this.open(), icon("fab")),
			title: el("h2", {}),
			clear: button("tool", () => (this.clear(), ui.ask.focus()), icon("clear")),
			close: button("tool", () => this.close(), icon("close")),
			hello: el("div", {}),
			log: el("div.log", { tabIndex: 0 }),
			status: el("p.sr", { role: "status" }),
			ask: el("textarea", { rows: 1, maxLength: 1000, enterkeyhint: "send" }),
			send: button("send", () => (this.#request ? this.#request.abort("stopped") : this.#submit())),
		});
		ui.panel = el("section.panel", {}, el("header", {}, ui.title, ui.clear, ui.close), ui.log, ui.status,
			el("div.ask", {}, ui.ask, ui.send));
		// The empty title keeps the element's own from popping up as a tooltip.
		const root = (ui.root = el("div.root", { title: "" }, ui.fab, ui.panel));
		this.shadowRoot.append(root);
		root.onkeydown = (event) => this.#press(event);
		// What is typed here is no shortcut of the page around.
		root.onkeyup = root.onkeypress = (event) => event.stopPropagation();
	}

	connectedCallback() {
		const kind = `szqa:${this.#base}:${this.#floating}:${this.id}:`;
		for (let n = 0; keys.has((this.#key = kind + n)); n++);
		keys.add(this.#key);
		let kept;
		try {
			kept = JSON.parse(sessionStorage.getItem(this.#key));
		} catch {} // closed or damaged
		this.#turns = list(kept?.turns ?? this.#turns).filter((turn) => turn.result);
		this.#shown = !this.#floating || (kept?.open ?? this.hasAttribute("open"));
		this.#configure();
		if (!this.#turns.length) this.ask(this.getAttribute("question"));
	}

	disconnectedCallback() {
		keys.delete(this.#key);
		this.#request?.abort("stopped");
	}

	// -- For the host page

	/** Show the floating panel and go to its input. */
	open() {
		if (!this.#shown) {
			this.#shown = true;
			this.#arrange();
			this.#emit("open");
		}
		this.#ui.ask.focus();
	}

	/** Hide the floating panel; the conversation stays. */
	close() {
		if (!this.#floating) return;
		this.#shown = false;
		this.#arrange();
		this.#ui.fab.focus();
	}

	/**
	 * Ask as if typed.
	 * @returns {Promise<object|null>} what /api/ask answered; null where nothing came
	 */
	async ask(question) {
		question = text(question).trim();
		if (!question || this.#request) return null;
		if (!this.#shown) this.open();
		const turn = { question };
		this.#turns.push(turn);
		return this.#send(turn);
	}

	/** Forget the conversation. */
	clear() {
		this.#request?.abort("stopped");
		this.#request = null;
		this.#turns = [];
		this.#configure();
	}

	// -- Settings

	get #floating() {
		return this.hasAttribute("floating");
	}

	/** With a slash at its end; links are glued to it, so that they cannot leave the server. */
	get #base() {
		return (this.getAttribute("server") || HOME).replace(/\/*$/, "/");
	}

	get #lang() {
		const wanted = [this.getAttribute("lang"), ...navigator.languages].find((lang) => /^(zh|en)\b/i.test(lang));
		return !/^zh/i.test(wanted) ? "en" : /hant|tw|hk|mo/i.test(wanted) ? "zh-TW" : "zh-CN";
	}

	#say(name) {
		const [chinese, english] = WORDS[name].split("|");
		const lang = this.#lang;
		if (lang !== "zh-TW") return lang === "en" ? english : chinese;
		return TAIWAN.match(/../g).reduce((words, [from, to]) => words.replaceAll(from, to), chinese);
	}

	/** Lay out everything by the settings. */
	#configure() {
		const ui = this.#ui;
		const option = (name) => text(this.getAttribute(name));
		ui.root.lang = this.#lang;
		ui.title.textContent = ui.panel.ariaLabel = option("title") || this.#say("title");
		ui.panel.role = this.#floating ? "dialog" : "region";
		ui.ask.placeholder = this.#say("ask");
		for (const name of ["fab", "clear", "close", "ask"]) ui[name].ariaLabel = this.#say(name);
		for (const [, name, value] of `z:${option("zindex")};${option("theme")}`.matchAll(/([\w-]+):([^;]+)/g)) {
			this.style.setProperty("--szqa-" + name, value);
		}
		const greeting = el("p", { dir: "auto" }, option("greeting") || this.#say("greeting"));
		ui.hello.replaceChildren(greeting, this.#chips(option("starters").split("|").filter(Boolean)));
		ui.log.replaceChildren(ui.hello);
		for (const turn of this.#turns) this.#paint(turn);
		this.#arrange();
	}

	/** Show and keep what is the case now. */
	#arrange() {
		const ui = this.#ui;
		const action = this.#request ? "stop" : "send";
		ui.fab.hidden = !this.#floating || this.#shown;
		ui.panel.hidden = !this.#shown;
		ui.close.hidden = !this.#floating;
		ui.clear.hidden = !(ui.hello.hidden = this.#turns.length > 0);
		ui.send.replaceChildren(icon(action));
		ui.send.ariaLabel = this.#say(action);
		const turns = this.#turns.filter((turn) => turn.result).slice(-KEPT_TURNS);
		try {
			sessionStorage.setItem(this.#key, JSON.stringify({ open: this.#shown, turns }));
		} catch {} // closed or full
	}

	#emit(type, detail = {}) {
		// At the window, an `error` would look like a failed script.
		this.dispatchEvent(new CustomEvent(type, { detail, composed: true, bubbles: type !== "error" }));
	}

	// -- Typing

	#submit() {
		if (this.#request) return;
		this.ask(this.#ui.ask.value);
		this.#ui.ask.value = "";
	}

	#press(event) {
		event.stopPropagation();
		const { key, target, shiftKey } = event;
		if (event.isComposing || event.keyCode === 229) return; // keys of the input method
		const { ask, send, clear, close } = this.#ui;
		const first = clear.hidden ? close : clear;
		if (key === "Escape") this.close();
		else if (key === "Enter" && target === ask && !shiftKey) this.#submit();
		else if (key === "Tab" && this.#floating && target === (shiftKey ? first : send)) (shiftKey ? send : first).focus();
		else return;
		event.preventDefault();
	}

	// -- Asking

	async #send(turn) {
		const { question } = turn;
		const { status } = this.#ui;
		const request = (this.#request = new AbortController());
		const timer = setTimeout(() => request.abort("timeout"), TIMEOUT_MS);
		const others = this.#turns.filter((other) => other !== turn && other.result).slice(-SENT_TURNS);
		const history = others.map(({ question, result }) => ({ question: result.understood || question, answer: result.answer }));
		turn.problem = null;
		this.#paint(turn);
		this.#arrange();
		status.textContent = this.#say("wait");
		try {
			turn.result = await this.#post("api/ask", { question, history }, request.signal);
		} catch (problem) {
			turn.problem = problem;
		}
		clearTimeout(timer);
		if (this.#request !== request) return null; // cleared meanwhile
		this.#request = null;
		this.#paint(turn);
		this.#arrange();
		const { result = null, problem } = turn;
		status.textContent = problem ? "" : result.answer ?? this.#say("none");
		this.#emit(problem ? "error" : "answer", { question, result, ...problem });
		return result;
	}

	/** POST; throws {kind, status, detail, wait}, its kind a key of WORDS. */
	async #post(path, body, signal) {
		const token = this.getAttribute("token");
		let response, data;
		try {
			response = await fetch(this.#base + path, { method: "POST", headers: { "Content-Type": "application/json",
				...(token && { Authorization: "Bearer " + token }) }, body: JSON.stringify(body), credentials: "omit", signal });
			data = await response.json();
		} catch {} // told apart below
		if (signal?.aborted) throw { kind: signal.reason };
		if (!response) throw { kind: "away" };
		const { status, ok, headers } = response;
		if (ok && data) return data;
		const kind = /429|503/.test(status) ? "busy" : /^4/.test(status) ? "refused" : "failed";
		throw { kind, status, detail: data?.detail, wait: Math.min(+headers.get("Retry-After") || 0, MAX_WAIT_S) };
	}

	// -- Showing

	/** Draw a turn as it stands, in place of its earlier drawing. */
	#paint(turn) {
		const { log } = this.#ui;
		const { question, result, problem, node: old } = turn;
		const body = problem ? this.#problem(turn) : result ? this.#answer(turn) : [el("p.wait", {}, this.#say("wait"))];
		turn.node = el("article", {}, el("p.q", { dir: "auto" }, question), ...body);
		const held = this.shadowRoot.activeElement;
		if (old?.isConnected) old.replaceWith(turn.node);
		else log.append(turn.node);
		if (held && !held.isConnected) log.focus();
		log.scrollTop = turn.node.offsetTop - 18;
	}

	#answer(turn) {
		const { understood, answer } = turn.result;
		const few = (name) => list(turn.result[name]).slice(0, 3);
		const quotes = (sources) => sources.map((source) => this.#quote(source));
		const body = [];
		if (understood && understood !== turn.question) {
			const edit = () => ((this.#ui.ask.value = understood), this.#ui.ask.focus());
			body.push(button("small", edit, this.#say("understood"), understood));
		}
		if (answer != null) {
			const numbers = few("citations").map((source) => this.#link(source, `[${source.n}]`));
			body.push(el(answer.length > 40 ? "p.a.long" : "p.a", { lang: "zh", dir: "auto" }, answer, ...numbers), ...quotes(few("citations")));
		} else {
			body.push(el("p.a.long", {}, this.#say("none")));
			if (few("passages")[0]) body.push(el("details", {}, el("summary", {}, this.#say("related")), ...quotes(few("passages"))));
			if (few("suggestions")[0]) body.push(el("p.small", {}, this.#say("instead")), this.#chips(few("suggestions")));
		}
		return [...body, this.#thumbs(turn)];
	}

	/** A sentence with its highlighted pieces, and where it stands. */
	#quote(source) {
		const where = [source.title, ...list(source.headings)].join(" › ");
		const pieces = list(source.segments).map((piece) => el(piece.highlighted ? "mark" : "span", {}, text(piece.text)));
		return el("figure", {}, el("blockquote", { lang: "zh", dir: "auto" }, ...pieces),
			el("figcaption", {}, this.#link(source, `${source.n ? `[${source.n}] ` : ""}${where}`)));
	}

	#link(source, label) {
		const href = this.#base + text(source.url).replace(/^\/+/, "");
		return el("a", { href, target: "_blank", rel: "noopener" }, label);
	}

	#chips(questions) {
		return el("div.chips", {}, ...questions.map((question) => button("chip", () => this.ask(question), question)));
	}

	#thumbs(turn) {
		const { question, result: { id, answer } } = turn;
		const note = el("span.small", { role: "status" });
		const thumbs = ["good", "bad"].map((name) => button("tool." + name, async () => {
			note.textContent = await this.#post("api/feedback", { id, question, answer, helpful: name === "good" })
				.then(() => ((turn.vote = name), this.#say("thanks")), ({ kind }) => this.#say(kind));
			mark();
			this.#arrange();
		}, icon("thumb")));
		const mark = () => ["good", "bad"].forEach((name, index) => {
			thumbs[index].ariaLabel = this.#say(name);
			thumbs[index].ariaPressed = turn.vote === name;
		});
		mark();
		return el("div.thumbs", {}, ...thumbs, note);
	}

	#problem(turn) {
		let { kind, detail, wait } = turn.problem;
		const retry = button("chip", () => this.#request || this.#send(turn));
		const tick = () => {
			retry.disabled = wait > 0;
			retry.textContent = this.#say("retry") + (wait > 0 ? ` (${wait})` : "");
			if (wait-- > 0) setTimeout(tick, 1000);
		};
		tick();
		return [el("div.fault", {}, el("p", { role: "alert" }, this.#say(kind)), el("p.small", {}, text(detail)), retry)];
	}
}

// -- Onto the page

let automatic; // the floating one that the script adds unasked; init() takes its place

/** Add a chat and return it: options as in the head of this file; starters may be an array. */
const init = ({ target, ...options } = {}) => {
	automatic?.remove();
	const chat = el("szqa-chat", target ? {} : { floating: "" });
	for (const [name, value] of Object.entries(options)) {
		if (value) chat.setAttribute(name, value === true ? "" : list(value).join("|") || value);
	}
	(target?.append ? target : document.querySelector(target || "html")).append(chat);
	return chat;
};

customElements.define("szqa-chat", SzqaChat);
window.szqa = { init };
const mount = () => {
	if (SCRIPT && SCRIPT.dataset.manual == null && !document.querySelector("szqa-chat")) automatic = init(SCRIPT.dataset);
};
document.readyState === "loading" ? addEventListener("DOMContentLoaded", mount) : mount();
})();
