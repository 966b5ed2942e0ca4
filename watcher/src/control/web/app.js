// What the watcher says of itself. Whatever comes from it may hold text that an attacker chose: it goes into the page as
// text alone, never as markup. Nothing is asked of any other host.
"use strict";

const REFRESH_MS = 10_000;    // how often all is asked again while the page is seen
const GATHER_MS = 1_000;      // after something happened, so long it is gathered before the list is asked again
const EVENTS_MAX = 200;
const BANS_MAX = 200;
const SPARK_MAX = 120;

const at = (id) => document.getElementById(id);
const svgSpace = "http://www.w3.org/2000/svg";

function make(tag, classes, ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children.map((child) => child instanceof Node ? child : document.createTextNode(String(child))));
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => child instanceof Node ? child : document.createTextNode(String(child))));
  return element;
}

function length(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0s";
  const [size, name] = units[first];
  const whole = Math.floor(seconds / size);
  const next = units[first + 1];
  const rest = next ? Math.floor((seconds - whole * size) / next[0]) : 0;
  return whole + name + (rest > 0 && whole < 10 ? rest + next[1] : "");
}

const clock = (text) => new Date(text).toLocaleString();
const time = (text) => new Date(text).toLocaleTimeString();
const number = (value) => Number(value).toLocaleString();

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store" });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message || answer.statusText);
  return body;
}

// --- the state, in one sentence -------------------------------------------------------------------------------------

function showState(status) {
  const faults = [];
  if (!status.ready) faults.push("bans are not in force yet");
  if (status.firewall_trouble) faults.push(status.firewall_trouble);
  for (const source of status.sources) {
    if (source.trouble) faults.push(`${source.name} cannot be read`);
    if (source.not_understood) faults.push(`${source.name} is no longer understood`);
    if (source.silent_seconds) faults.push(`${source.name} is silent`);
  }
  const state = at("state");
  if (faults.length > 0) {
    state.className = "bad";
    state.textContent = "Look: " + faults.join("; ");
  } else if (status.firewall === "dry-run") {
    state.className = "warn";
    state.textContent = "Bans are only recorded: dry run";
  } else {
    state.className = "good";
    state.textContent = "Protected: every source is read, every ban is in force";
  }
  at("version").textContent = `postern-watcher ${status.version}, since ${clock(status.since)}`;
}

const speeds = [];

function showFigures(status) {
  const speed = status.sources.reduce((sum, source) => sum + source.lines_per_second, 0);
  speeds.push(speed);
  if (speeds.length > SPARK_MAX) speeds.shift();
  const figure = (value, name, ...more) => make("div", "figure", make("b", "", value), name, ...more);
  at("figures").replaceChildren(
    figure(number(status.active), "bans in force"),
    figure(number(status.counted), "offenders counted"),
    figure(speed.toFixed(speed < 10 ? 1 : 0), "lines a second", spark(speeds)),
    figure(status.firewall, "firewall"),
  );
}

function spark(values) {
  const most = Math.max(1, ...values);
  const points = values.map((value, place) => `${(place * 120) / Math.max(1, values.length - 1)},${30 - (28 * value) / most}`);
  return draw("svg", { viewBox: "0 0 120 32", class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" },
    draw("polyline", { points: points.join(" ") }));
}

// --- what happens ---------------------------------------------------------------------------------------------------

const topics = ["ban", "would-ban", "unban", "spared", "asked", "allowed", "disallowed", "quota-low", "quota-spent", "zone-off",
  "zone-on", "source-silent", "source-back", "source-trouble", "source-well", "source-ended", "parsing-stopped", "parsing-back",
  "lines-lost", "reloaded", "reload-failed", "firewall-repaired", "firewall-trouble"];
const worrying = new Set(["quota-low", "quota-spent", "zone-off", "source-silent", "source-trouble", "parsing-stopped", "lines-lost",
  "reload-failed", "firewall-trouble", "asked"]);

function showEvent(news) {
  at("quiet").hidden = true;
  const line = make("li", worrying.has(news.kind) ? "warn" : "", make("time", "", time(news.at)), news.text);
  const events = at("events");
  events.prepend(line);
  while (events.childElementCount > EVENTS_MAX) events.lastElementChild.remove();
}

let gathering = null;

function listen() {
  const stream = new EventSource("/v1/events");
  stream.onopen = () => { at("live").textContent = "live"; refresh(); };
  stream.onerror = () => { at("live").textContent = "not connected; trying again"; };
  for (const topic of topics) {
    stream.addEventListener(topic, (event) => {
      try { showEvent(JSON.parse(event.data)); } catch { return; }
      if (gathering === null) gathering = setTimeout(() => { gathering = null; refresh(); }, GATHER_MS);
    });
  }
}

// --- bans -----------------------------------------------------------------------------------------------------------

let bans = [];
let total = 0;
let mayUnban = false;
let here = null;    // whose row the keys stand at

function isNetwork(text) {
  return /^[0-9a-fA-F.:]+(\/[0-9]+)?$/.test(text) && /[.:]/.test(text);
}

async function askBans() {
  const wanted = at("find").value.trim();
  const query = new URLSearchParams({ order: "newest", limit: BANS_MAX });
  // Whole addresses are looked up among all bans; other words among those that are shown.
  if (isNetwork(wanted)) query.set("network", wanted);
  let answer;
  try {
    answer = await ask("/v1/bans?" + query);
  } catch {
    query.delete("network");
    answer = await ask("/v1/bans?" + query);
  }
  bans = answer.bans;
  total = answer.total ?? bans.length;
}

function showBans() {
  const wanted = at("find").value.trim().toLowerCase();
  const fits = (ban) => isNetwork(wanted) || (ban.subject + " " + ban.jail).toLowerCase().includes(wanted);
  const shown = bans.filter(fits);
  const rows = shown.map((ban) => {
    const why = make("button", "", "why");
    why.type = "button";
    why.dataset.subject = ban.subject;
    why.setAttribute("aria-label", `why ${ban.subject} is banned`);
    const row = make("tr", ban.subject === here ? "here" : "", make("td", "", ban.subject),
      make("td", "", ban.jail + (ban.mode === "watch" ? " (watches)" : "")), make("td", "wide", clock(ban.from)),
      make("td", "", length(ban.remaining_seconds)), make("td", "wide", ban.before + "×"), make("td", "", why));
    return row;
  });
  // Whoever goes through the rows by keys keeps his place when they are made anew.
  const held = at("bans-rows").contains(document.activeElement);
  at("bans-rows").replaceChildren(...rows);
  if (held) focusOn(here);
  at("bans-count").textContent = number(total);
  at("bans-more").textContent = total > bans.length ? `The newest ${bans.length} are shown; banctl list has all.` :
    shown.length === 0 ? "Nobody is banned." : "";
}

function focusOn(subject) {
  const buttons = [...at("bans-rows").querySelectorAll("button")];
  buttons.find((button) => button.dataset.subject === subject)?.focus({ preventScroll: true });
}

let asked = null;

async function showWhy(subject) {
  asked = subject;
  at("why-title").textContent = subject;
  at("why-body").replaceChildren(make("p", "", "asking …"));
  at("unban").hidden = !mayUnban;
  at("unban-said").textContent = "";
  if (!at("why").open) at("why").showModal();
  let why;
  try {
    why = await ask("/v1/bans/" + encodeURIComponent(subject).replaceAll("%2F", "/").replaceAll("%3A", ":"));
  } catch (error) {
    at("why-body").replaceChildren(make("p", "bad", error.message));
    return;
  }
  const parts = why.bans.map((ban) => make("div", "", make("h3", "", `${ban.subject} by ${ban.jail}`),
    make("p", "", `from ${clock(ban.from)} to ${clock(ban.until)}, in ${length(ban.remaining_seconds)}; ` +
      `banned ${ban.before} times before; ports ${ban.ports.length ? ban.ports.join(", ") : "all"}` +
      (ban.reason ? `; ${ban.reason}` : "")),
    (ban.evidence || []).length > 0 ? make("pre", "", ban.evidence.map((line) => line.line).join("\n")) :
      make("p", "", "no lines led to it: it was made by hand, or the database does not have them")));
  if (why.bans.length === 0) parts.push(make("p", "", "not banned"));
  for (const standing of why.standing) {
    parts.push(make("p", "", `${standing.jail}: ${standing.count} of ${standing.threshold} in ${length(standing.within_seconds)}`));
  }
  parts.push(make("p", "", `On a terminal: banctl unban ${subject}`));
  at("why-body").replaceChildren(...parts);
}

async function unban(event) {
  event.preventDefault();
  const said = at("unban-said");
  said.textContent = "…";
  try {
    const answer = await fetch("/v1/unban", {
      method: "POST",
      headers: { "content-type": "application/json", "x-postern-token": at("token").value },
      body: JSON.stringify({ subjects: [asked] }),
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message || answer.statusText);
    said.textContent = body.bans.length > 0 ? "let in" : (body.refused || []).map((refusal) => refusal.why).join("; ");
    refresh();
  } catch (error) {
    said.textContent = error.message;
  }
}

// --- jails and sources ----------------------------------------------------------------------------------------------

function showJails(jails) {
  at("jails-rows").replaceChildren(...jails.map((jail) => make("tr", "",
    make("td", "", jail.name + (jail.mode === "watch" ? " (watches)" : "")), make("td", "wide", jail.about),
    make("td", "", `${jail.threshold} in ${length(jail.within_seconds)}`), make("td", "", length(jail.ban_seconds)),
    make("td", "", number(jail.active)))));
}

function standing(source) {
  if (source.trouble) return ["bad", source.trouble];
  if (source.ended) return ["warn", source.ended];
  if (source.not_understood) return ["bad", "no longer understood"];
  if (source.silent_seconds) return ["bad", `silent for ${length(source.silent_seconds)}`];
  if (source.behind_bytes > 1e6) return ["warn", `${number(source.behind_bytes)} bytes behind`];
  return ["good", "well"];
}

function showSources(sources) {
  at("sources-rows").replaceChildren(...sources.map((source) => make("tr", "", make("td", "", source.name),
    make("td", ...standing(source)), make("td", "", source.lines_per_second.toFixed(1)),
    make("td", "wide", source.unknown_share === null ? "–" : (100 * source.unknown_share).toFixed(0) + " %"),
    make("td", source.lost > 0 ? "wide warn" : "wide", number(source.lost)),
    make("td", "", source.last_age_seconds === null ? "none yet" : length(source.last_age_seconds) + " ago"))));
}

// --- budgets --------------------------------------------------------------------------------------------------------

const WIDE = 640, HIGH = 160, SIDE = 60;

// What is left over the period: a line for what was, a dashed one for what is expected, and between which bounds.
function burnDown(zone, now) {
  const [start, end] = zone.period;
  const x = (second) => SIDE + (WIDE * (Math.min(Math.max(second, start), end) - start)) / (end - start);
  const y = (left) => 8 + HIGH * (1 - Math.min(Math.max(left, 0), zone.limit) / zone.limit);
  const points = [`${x(start)},${y(zone.limit)}`];
  let left = zone.limit;
  for (const [hour, count] of zone.hours || []) {
    left -= count;
    points.push(`${x(Math.min(hour + 3600, now))},${y(left)}`);
  }
  points.push(`${x(now)},${y(zone.left)}`);
  const { total, low, high, spent } = zone.forecast;
  const goal = spent ? `${x(spent)},${y(0)}` : `${x(end)},${y(zone.limit - total)}`;
  const words = (second) => new Date(second * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return draw("svg", { viewBox: `0 0 ${WIDE + SIDE + 10} ${HIGH + 30}`, role: "img", "aria-label": sentence(zone) },
    draw("path", { class: "axis", d: `M${SIDE} 8V${HIGH + 8}H${SIDE + WIDE}` }),
    draw("polyline", { class: "even", points: `${x(start)},${y(zone.limit)} ${x(end)},${y(0)}` }),
    draw("polygon", { class: "range", points: `${x(now)},${y(zone.left)} ${x(end)},${y(zone.limit - low)} ${x(end)},${y(zone.limit - high)}` }),
    draw("polyline", { class: "coming", points: `${x(now)},${y(zone.left)} ${goal}` }),
    draw("polyline", { class: "left", points: points.join(" ") }),
    ...(spent ? [draw("line", { class: "spent", x1: x(spent), x2: x(spent), y1: HIGH - 12, y2: HIGH + 8 })] : []),
    draw("text", { x: SIDE - 6, y: 16, class: "end" }, number(zone.limit)),
    draw("text", { x: SIDE - 6, y: HIGH + 8, class: "end" }, "0"),
    draw("text", { x: SIDE, y: HIGH + 24 }, words(start)),
    draw("text", { x: SIDE + WIDE, y: HIGH + 24, class: "end" }, words(end)));
}

function sentence(zone) {
  if (zone.limit === null) return `${number(zone.used)} queries in this period; no limit is set.`;
  const { total, low, high, spent } = zone.forecast;
  const last = spent ? `spent at ${new Date(spent * 1000).toLocaleTimeString()}, by the forecast` : "lasts, by the forecast";
  return `${number(zone.used)} of ${number(zone.limit)} used, ${number(zone.left)} left: ${last} ` +
    `(${number(total)} at the end, between ${number(low)} and ${number(high)}).`;
}

function showZones(zones) {
  const now = Date.now() / 1000;
  const boxes = zones.map((zone) => {
    const worry = zone.off || (zone.limit !== null && zone.forecast.spent);
    const box = make("div", "zone", make("h3", "", zone.zone), make("p", worry ? "bad" : "", sentence(zone)));
    if (zone.off) box.append(make("p", "bad", `Its listings do not count: ${zone.off}`));
    if (zone.limit !== null) box.append(burnDown(zone, now));
    const { bans: banned, cache, known } = zone.avoided;
    box.append(make("p", "", `Lists ${number(zone.listed)}, ${number(zone.alone)} of them alone. Not asked: ` +
      `${number(banned)} for bans, ${number(cache)} remembered, ${number(known)} known.`));
    return box;
  });
  at("zones").replaceChildren(...(boxes.length > 0 ? boxes : [make("p", "", "The log tells of no blocklist.")]));
}

// --- all of it ------------------------------------------------------------------------------------------------------

let refreshing = false;

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const [status, jails, quota] = await Promise.all([ask("/v1/status"), ask("/v1/jails"), ask("/v1/quota"), askBans()]);
    showState(status);
    showFigures(status);
    showBans();
    showJails(jails.jails);
    showSources(status.sources);
    showZones(quota.zones);
    document.body.dataset.ready = "yes";
  } catch (error) {
    at("state").className = "bad";
    at("state").textContent = `The watcher does not answer: ${error.message}`;
  } finally {
    refreshing = false;
  }
}

function move(step) {
  const buttons = [...at("bans-rows").querySelectorAll("button")];
  if (buttons.length === 0) return;
  const place = buttons.findIndex((button) => button.dataset.subject === here);
  const button = buttons[Math.min(Math.max(place + step, 0), buttons.length - 1)];
  here = button.dataset.subject;
  for (const row of at("bans-rows").children) row.classList.toggle("here", row.contains(button));
  button.focus();
}

function key(event) {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || at("why").open) return;
  const sections = ["now", "bans", "jails", "sources", "budgets"];
  const section = sections[Number(event.key) - 1];
  if (section) { at(section).scrollIntoView(); at(section).focus({ preventScroll: true }); }
  else if (event.key === "/") at("find").focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else return;
  event.preventDefault();
}

async function begin() {
  try { mayUnban = (await ask("/v1/page")).unban; } catch { mayUnban = false; }
  at("bans-rows").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) showWhy(button.dataset.subject);
  });
  at("bans-rows").addEventListener("focusin", (event) => { here = event.target.dataset.subject ?? here; });
  // Its row was made anew meanwhile, most likely.
  at("why").addEventListener("close", () => focusOn(asked));
  at("find").addEventListener("input", async () => {
    showBans();
    try { await askBans(); showBans(); } catch { /* the next refresh tells */ }
  });
  at("why-close").addEventListener("click", () => at("why").close());
  at("unban").addEventListener("submit", unban);
  document.addEventListener("keydown", key);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MS);
  await refresh();
  listen();
}

begin();
