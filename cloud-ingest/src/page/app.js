// The page: asks the API of the host it came from, and draws. Whatever comes from outside is set as text, never as HTML.

const LATEST_EVERY_MS = 1000;
const AUDIT_EVERY_MS = 2000;
const FLEET_EVERY_MS = 5000;
const SPARK_SPAN_MS = 90_000;   // how much of a channel's past its line shows
const SPARK_POINTS = 240;       // the most it keeps
const MAX_DEVICES_SHOWN = 120;  // the rest is counted, and found by the filter
const MAX_EVENTS_SHOWN = 40;
const PREFILLED_DEVICES = 24;   // whose past is asked for when the page opens
const PREFILL_READINGS = 2000;
const SILENT_AFTER_MS = 30_000;

const PRIORITIES = ["critical", "high", "medium", "low"];
const UNITS = { Cel: "°C", "%RH": "% RH", "m/s2": "m/s²", "W/m2": "W/m²", "m3/s": "m³/s", "m3": "m³", "ug/m3": "µg/m³", Ohm: "Ω", "/": "", "1/s": "s⁻¹", deg: "°" };

const $ = (id) => document.getElementById(id);
const el = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const svg = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const keyOf = (it) => `${it.site}/${it.device}/${it.channel}`;
const deviceKey = (it) => `${it.site}/${it.device}`;

const known = { devices: [], shown: [], latest: new Map(), alarms: new Map(), events: new Map(), alarmsLoaded: false, mayAct: false };
const traces = new Map();  // channel key → [{ at, value }]
const cards = new Map();   // device key → { node, rows }
let clockAhead = 0;        // what to add to this browser's clock to have the server's
let failing = false;

// ---- asking ----

async function ask(path) {
  const response = await fetch(`api/v1/${path}`, { headers: { accept: "application/json" }, cache: "no-store" });
  const date = Date.parse(response.headers.get("date"));
  // The header has whole seconds: believe it only where it differs by more.
  if (Number.isFinite(date)) clockAhead = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  if (response.status === 401) location.assign("login");
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail ?? `${path}: status ${response.status}`);
  }
  return response.json();
}

/** Asks again and again, one request at a time, not while the page is hidden. */
function poll(everyMs, question) {
  const round = async () => {
    if (!document.hidden) {
      try {
        await question();
        if (failing) { failing = false; $("notice").hidden = true; }
      } catch (error) {
        failing = true;
        $("notice").textContent = `The ingest does not answer as it should: ${error.message}. What you see may be old.`;
        $("notice").hidden = false;
      }
    }
    setTimeout(round, everyMs);
  };
  round();
}

const now = () => Date.now() + clockAhead;

// ---- words ----

const PREFIXES = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"]];

/** A number and the unit behind it. Large ones take a prefix: nobody reads ten digits at a glance. */
function measure(value, unit, decimals) {
  const [factor, prefix] = PREFIXES.find(([factor]) => Math.abs(value) >= factor) ?? [1, ""];
  const counted = unit === "count" || unit === "";
  if (prefix && !counted) return [number(value / factor), prefix + unitText(unit)];
  if (prefix && Math.abs(value) >= 1e9) return [`${number(value / factor)} ${prefix}`, unitText(unit)];
  // What is counted has no decimals; what is measured keeps its own, so that the figure does not jump.
  const whole = Number.isInteger(value) && (counted || unit === "B");
  return [number(value, decimals ?? (whole ? 0 : undefined)), unitText(unit)];
}

function number(value, decimals) {
  if (decimals === undefined) {
    const size = Math.abs(value);
    decimals = size >= 10_000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  }
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

function ago(unixMs) {
  const s = Math.max(0, Math.round((now() - unixMs) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d`;
}

function clock(unixMs) {
  if (unixMs === null) return "–";
  const at = new Date(unixMs);
  const sameDay = at.toDateString() === new Date(now()).toDateString();
  return sameDay ? at.toLocaleTimeString("en-GB") : at.toLocaleDateString("en-GB", { day: "2-digit", month: "short" });
}

const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const unitText = (unit) => UNITS[unit] ?? unit;

/** The mark of a priority: a shape of its own with its rank, so that colour is not all that tells. */
function shape(priority) {
  const rank = PRIORITIES.indexOf(priority) + 1;
  const mark = svg("svg", { class: `shape ${priority}`, viewBox: "0 0 24 24", role: "img", "aria-label": priority });
  const outline = {
    critical: ["rect", { x: 2, y: 2, width: 20, height: 20, rx: 2 }],
    high: ["path", { d: "M12 1 23 22H1z" }],
    medium: ["path", { d: "M12 0 24 12 12 24 0 12z" }],
    low: ["circle", { cx: 12, cy: 12, r: 11 }],
  }[priority] ?? ["circle", { cx: 12, cy: 12, r: 11 }];
  mark.append(svg(...outline));
  const text = svg("text", { x: 12, y: priority === "high" ? 19 : 16.4 });
  text.textContent = rank || "?";
  mark.append(text);
  return mark;
}

// ---- the audit strip ----

async function showAudit() {
  const { totals, origins, complete } = await ask("audit");
  const atLeast = origins.some((origin) => !origin.measured.exact && origin.closed);
  $("measured").textContent = (atLeast ? "≥ " : "") + totals.measured.toLocaleString("en");
  $("stored").textContent = totals.stored.toLocaleString("en");
  $("lost").textContent = totals.lost.toLocaleString("en");
  $("way").textContent = totals.outstanding.toLocaleString("en");
  const whole = Math.max(1, totals.stored + totals.lost + totals.outstanding);
  for (const [id, part] of [["stored", totals.stored], ["lost", totals.lost], ["way", totals.outstanding]]) {
    // A single lost reading is to be seen beside a million stored ones.
    $(`bar-${id}`).style.width = part === 0 ? "0" : `max(3px, ${(100 * part) / whole}%)`;
  }
  const sentences = [];
  if (totals.measured === 0) sentences.push("Nothing has been measured yet.");
  else if (complete && totals.lost === 0) sentences.push("Every reading heard of is stored.");
  else if (complete) sentences.push("Every reading heard of is stored or declared lost.");
  else if (totals.outstanding > 0) sentences.push(`${plural(totals.outstanding, "reading")} heard of, and on the way.`);
  const reasons = {};
  for (const origin of origins) for (const [why, n] of Object.entries(origin.lost)) reasons[why] = (reasons[why] ?? 0) + n;
  const why = Object.entries(reasons).map(([reason, n]) => `${reason} ${n.toLocaleString("en")}`);
  if (why.length) sentences.push(`Lost: ${why.join(", ")}.`);
  if (totals.conflicts) sentences.push(`${plural(totals.conflicts, "reading")} in conflict with what is stored.`);
  $("verdict").textContent = sentences.join(" ");
}

// ---- alarms and events ----

const isAcknowledged = (raise) => raise.lifecycle?.acknowledged ?? false;
const isSuppressed = (raise) => ["shelved", "suppressed-by-design", "out-of-service"].includes(raise.state);
const urgency = (a, b) => isAcknowledged(a) - isAcknowledged(b) || PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority) || (b.time_unix_ms ?? 0) - (a.time_unix_ms ?? 0);

async function loadAlarms() {
  const { alarms } = await ask("alarms?state=all&limit=200");
  const unsettled = [...known.alarms.values()].filter((raise) => raise.provisional);
  const active = alarms.filter((alarm) => alarm.lifecycle.active && alarm.raised);
  const settled = active.map(({ raised, state, lifecycle, done }) => ({ ...raised, state, lifecycle, done }));
  const seen = new Set(alarms.map((alarm) => alarm.occurrence));
  known.alarms = new Map([...settled, ...unsettled.filter((raise) => !seen.has(raise.occurrence))].map((raise) => [raise.occurrence, raise]));
  known.alarmsLoaded = true;
  for (const alarm of alarms) for (const event of [alarm.raised, alarm.cleared, alarm.done]) if (event) known.events.set(event.id, event);
  showAlarms();
  showEvents();
}

function take(event) {
  const before = known.events.get(event.id);
  if (before && !before.provisional && event.provisional) return;
  known.events.set(event.id, event);
  if (event.transition === "raise") known.alarms.set(event.occurrence, event);
  else if (event.transition === "clear") known.alarms.delete(event.occurrence);
  else if (known.alarms.has(event.occurrence)) {
    // What operators do changes the state of what is up; it does not raise or clear.
    const { state, lifecycle } = event;
    known.alarms.set(event.occurrence, { ...known.alarms.get(event.occurrence), state, lifecycle, done: event });
  }
  showAlarms();
  showEvents();
}

function showAlarms() {
  const active = [...known.alarms.values()].filter((raise) => !isSuppressed(raise)).sort(urgency);
  const suppressed = known.alarms.size - active.length;
  $("alarm-count").textContent = [active.length || "", suppressed ? `(${suppressed} suppressed)` : ""].filter(Boolean).join(" ");
  // Not said before it is known.
  $("no-alarms").hidden = active.length > 0 || !known.alarmsLoaded;
  document.title = active.length ? `(${active.length}) Tidegate` : "Tidegate";
  $("alarm-list").replaceChildren(...active.slice(0, 50).map((raise) => {
    const row = el("li", `alarm ${raise.priority}${isAcknowledged(raise) ? " acknowledged" : ""}`);
    const where = el("div", "where");
    where.append(el("b", "", raise.device), el("span", "", `${raise.channel} · ${raise.rule}`));
    const when = el("div", "when", raise.onset.time_unix_ms === null ? "" : `${clock(raise.onset.time_unix_ms)}\n${ago(raise.onset.time_unix_ms)} ago`);
    when.style.whiteSpace = "pre-line";
    const what = el("div", "what", raise.message);
    const reading = known.latest.get(keyOf(raise));
    if (reading && reading.value !== null) what.append(el("span", "now", `now ${words(reading).join(" ")}`));
    if (isAcknowledged(raise)) {
      const by = raise.done?.transition === "acknowledge" ? ` by ${raise.done.operator.by}` : "";
      what.append(el("span", "done", `acknowledged${by}`));
    }
    if (known.mayAct && raise.lifecycle?.latest && !isAcknowledged(raise)) {
      const button = el("button", "act", "Acknowledge");
      button.addEventListener("click", () => acknowledge(raise, button).catch(() => {}));
      what.append(button);
    }
    row.append(shape(raise.priority), where, what, when);
    return row;
  }));
}

function showEvents() {
  const order = (a, b) => (b.time_unix_ms ?? 0) - (a.time_unix_ms ?? 0) || b.seq - a.seq;
  const newest = [...known.events.values()].sort(order).slice(0, MAX_EVENTS_SHOWN);
  known.events = new Map(newest.map((event) => [event.id, event]));
  $("no-events").hidden = newest.length > 0;
  $("event-list").replaceChildren(...newest.map((event) => {
    const row = el("li", `event ${event.transition}`);
    const what = el("p", "", event.message);
    if (event.provisional) what.append(" ", el("span", "unsure", "not yet stored"));
    row.append(el("time", "", clock(event.time_unix_ms)), shape(event.priority), what);
    return row;
  }));
}

function listen() {
  const source = new EventSource("api/v1/events?since=now");
  const link = (text, live) => { $("link").textContent = text; $("link").classList.toggle("live", live); };
  source.addEventListener("open", () => { link("live", true); loadAlarms().catch(() => {}); });
  source.addEventListener("alarm", (message) => take(JSON.parse(message.data)));
  source.addEventListener("reset", () => { known.alarms.clear(); known.events.clear(); loadAlarms().catch(() => {}); });
  source.addEventListener("error", () => {
    link("reconnecting", false);
    // A browser gives up on an answer that is no stream; a busy or restarting ingest gives such answers.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

// ---- the fleet ----

async function loadFleet() {
  const [{ devices }, { gateways }, health] = await Promise.all([ask("devices"), ask("gateways"), fetch("health").then((r) => r.json())]);
  known.devices = devices.sort((a, b) => deviceKey(a).localeCompare(deviceKey(b), "en", { numeric: true }));
  const channels = devices.reduce((sum, device) => sum + device.channels.length, 0);
  $("summary").textContent = `${plural(devices.length, "device")}, ${plural(channels, "channel")}`;
  $("version").textContent = `ingest ${health.version}` + (health.problems.length ? ` · ${health.problems.join(" · ")}` : "");
  $("gateways").replaceChildren(...gateways.map((gateway) => {
    const last = gateway.last_block_unix_ms;
    const heard = last === null ? "no data yet" : now() - last > SILENT_AFTER_MS || !gateway.online ? `last heard ${ago(last)} ago` : "";
    const item = el("li", gateway.online ? "" : "offline", [gateway.gateway, gateway.online ? "" : "offline", heard].filter(Boolean).join(" · "));
    item.title = `gateway ${gateway.gateway} of site ${gateway.site}${gateway.version ? `, agent ${gateway.version}` : ""}`;
    return item;
  }));
  showFleet();
}

function showFleet() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (device) => {
    const text = `${device.site} ${device.device} ${device.tag} ${device.channels.map((c) => c.name).join(" ")}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const fitting = known.devices.filter(fits);
  const shown = fitting.slice(0, MAX_DEVICES_SHOWN);
  known.shown = shown.map(cardOf);
  const nodes = known.shown.map((card) => card.node);
  const panel = $("devices");
  if (nodes.length !== panel.children.length || nodes.some((node, at) => node !== panel.children[at])) panel.replaceChildren(...nodes);
  $("no-devices").hidden = fitting.length > 0;
  $("no-devices").textContent = known.devices.length ? "No device fits the filter." : "No device has been heard of yet.";
  $("more-devices").hidden = shown.length === fitting.length;
  $("more-devices").textContent = `${plural(fitting.length - shown.length, "device")} more; narrow the filter to see them.`;
  showValues();
}

/** The card of a device, made once per boot: a new boot may have other channels. */
function cardOf(device) {
  const key = deviceKey(device);
  let card = cards.get(key);
  if (!card || card.boot !== device.boot) {
    const node = el("article", "device");
    const head = el("header");
    const about = el("span", "about");
    head.append(el("h3", "", device.device), about);
    node.append(head);
    const rows = device.channels.map((channel) => {
      const row = el("div", "channel");
      const [name, value] = [el("span", "name", channel.name), el("span", "value")];
      const spark = svg("svg", { class: "spark", viewBox: "0 0 84 24", preserveAspectRatio: "none", "aria-hidden": "true" });
      spark.append(svg("line", { x1: 0, x2: 84 }), svg("path", {}), svg("circle", { r: 1.7, cx: -9 }));
      row.append(name, spark, value);
      node.append(row);
      return { channel, row, name, value, spark, drawn: undefined };
    });
    card = { node, about, rows, boot: device.boot };
    cards.set(key, card);
  }
  card.device = device;
  return card;
}

async function loadLatest() {
  const { readings } = await ask("latest");
  for (const reading of readings) {
    const key = keyOf(reading);
    known.latest.set(key, reading);
    remember(key, reading.time_unix_ms ?? now(), reading.value);
  }
  showValues();
  showAlarms();
}

function remember(key, at, value) {
  if (value === null) return;
  const trace = traces.get(key) ?? [];
  traces.set(key, trace);
  if (trace.length && at <= trace[trace.length - 1].at) return;
  trace.push({ at, value: Number(value) });
  while (trace.length > SPARK_POINTS || trace[0].at < at - SPARK_SPAN_MS) trace.shift();
}

/** So that the lines do not begin empty. Devices too fast for one page of readings begin empty after all. */
async function prefill() {
  for (const device of known.devices.slice(0, PREFILLED_DEVICES)) {
    const query = new URLSearchParams({ site: device.site, device: device.device, since: Math.round(now() - SPARK_SPAN_MS), limit: PREFILL_READINGS });
    const { readings, next_cursor } = await ask(`readings?${query}`);
    if (next_cursor !== null) continue;
    const past = new Map();
    for (const reading of readings) {
      if (reading.time_unix_ms === null || reading.value === null) continue;
      const key = keyOf(reading);
      past.set(key, [...(past.get(key) ?? []), { at: reading.time_unix_ms, value: Number(reading.value) }]);
    }
    for (const [key, points] of past) {
      const thinned = points.filter((_, n) => n % Math.ceil(points.length / SPARK_POINTS) === 0);
      const since = traces.get(key) ?? [];
      traces.set(key, [...thinned.filter((point) => !since.length || point.at < since[0].at), ...since].slice(-SPARK_POINTS));
    }
  }
}

function showValues() {
  const alarmed = new Map([...known.alarms.values()].sort(urgency).reverse().map((raise) => [keyOf(raise), raise]));
  for (const card of known.shown) showCard(card, alarmed);
}

/** A reading's value and unit as they are shown. */
function words({ value, unit }, channel) {
  if (value === null) return ["–", ""];
  if (typeof value === "boolean") return [String(value), ""];
  return measure(value, unit, channel?.kind === "decimal" ? channel.scale : undefined);
}

function showCard({ node, about, rows, device }, alarmed) {
  const silent = now() - device.last_arrival_unix_ms > SILENT_AFTER_MS;
  node.classList.toggle("silent", silent);
  about.textContent = [device.tag, silent ? `silent for ${ago(device.last_arrival_unix_ms)}` : device.gateways.join(", ")].filter(Boolean).join(" · ");
  for (const row of rows) {
    const key = `${deviceKey(device)}/${row.channel.name}`;
    const reading = known.latest.get(key);
    const alarm = alarmed.get(key);
    row.row.className = `channel${alarm ? ` alarmed ${alarm.priority}` : ""}${reading && reading.quality !== "good" ? " doubt" : ""}`;
    row.name.replaceChildren(...(alarm ? [shape(alarm.priority)] : []), row.channel.name);
    const [text, unit] = reading ? words(reading, row.channel) : ["–", ""];
    row.value.replaceChildren(text, el("span", "unit", unit));
    row.row.title = [key, reading && `${reading.value} ${reading.unit}`, reading && reading.quality !== "good" && reading.quality].filter(Boolean).join(" · ");
    draw(row, traces.get(key) ?? [], alarm);
  }
}

function draw(row, trace, alarm) {
  const last = trace[trace.length - 1];
  const signature = `${last?.at} ${trace.length} ${alarm?.limit}`;
  if (!last || row.drawn === signature) return;
  row.drawn = signature;
  const values = trace.map((point) => point.value);
  if (alarm) values.push(alarm.limit);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  // A quiet channel is to look quiet: its noise is not blown up to the full height.
  const span = Math.max(high - low, Math.abs(high) * 0.01, 1e-9);
  const middle = (high + low) / 2;
  const x = (point) => 82 - (80 * (last.at - point.at)) / SPARK_SPAN_MS;
  const y = (value) => 12 - (20 * (value - middle)) / span;
  const [line, path, dot] = row.spark.children;
  const steps = row.channel.kind === "bool";
  const d = trace.map((point, n) => n === 0 ? `M${x(point).toFixed(1)} ${y(point.value).toFixed(1)}`
    : steps ? `H${x(point).toFixed(1)}V${y(point.value).toFixed(1)}` : `L${x(point).toFixed(1)} ${y(point.value).toFixed(1)}`);
  path.setAttribute("d", d.join(""));
  dot.setAttribute("cx", 82);
  dot.setAttribute("cy", y(last.value).toFixed(1));
  const limit = alarm ? y(alarm.limit).toFixed(1) : -99;
  line.setAttribute("y1", limit);
  line.setAttribute("y2", limit);
}

// ---- who looks ----

async function loadWho() {
  const { name, role, by, asks, form } = await ask("whoami");
  $("open-door").hidden = asks;
  // Where nobody is asked who they are, nobody acts in a page: it has no name to do it in.
  known.mayAct = name !== null && role !== "viewer";
  if (by === "session") {
    $("who-name").textContent = `${name}, ${role}`;
    $("who-form").value = form;
    $("who").hidden = false;
  }
}

async function acknowledge(raise, button) {
  button.disabled = true;
  const path = [raise.site, raise.device, raise.channel, raise.rule].map(encodeURIComponent).join("/");
  const { occurrence, transition } = raise.lifecycle.latest;
  const response = await fetch(`api/v1/alarms/${path}/acknowledge`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ occurrence, transition }),
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    $("notice").textContent = problem.detail ?? `not acknowledged: status ${response.status}`;
    $("notice").hidden = false;
  }
  await loadAlarms();
}

// ---- together ----

$("filter").addEventListener("input", showFleet);
listen();
loadWho().then(showAlarms).catch(() => {});
poll(LATEST_EVERY_MS, loadLatest);
poll(AUDIT_EVERY_MS, showAudit);
poll(FLEET_EVERY_MS, loadFleet);
poll(FLEET_EVERY_MS, loadAlarms);
loadFleet().then(prefill).then(showValues).catch(() => {});
