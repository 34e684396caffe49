// What pages do beyond HTML: times in the zone of the browser, buttons that copy, one click for a form, answers to forms
// that can be loaded again, a refresh of the overview, and one of the list of running requests that can be paused.
// Without it, everything can be read and every form works.
"use strict";

function showTimes(root) {
  const parts = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  const thisYear = new Intl.DateTimeFormat(undefined, parts);
  const otherYear = new Intl.DateTimeFormat(undefined, { ...parts, year: "numeric" });
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = at.toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");
    const format = at.getFullYear() === new Date().getFullYear() ? thisYear : otherYear;
    element.textContent = format.format(at);
  }
}

function offerCopies(root) {
  for (const button of root.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) continue; // only over TLS and on this machine
    button.hidden = false;
    button.addEventListener("click", async () => {
      const label = button.firstChild;
      try {
        await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
        label.data = "Copied";
      } catch {
        label.data = "Not copied";
      }
      setTimeout(() => { label.data = "Copy"; }, 2000);
    });
  }
}

function sendOnce(root) {
  for (const form of root.querySelectorAll("form[method=post]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
  }
}

function prepare(root) {
  showTimes(root);
  offerCopies(root);
  sendOnce(root);
}

function selectsIn(area) {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && area.contains(selection.anchorNode);
}

// A click beside links, and the link that skips to the content, focus the content itself: that stays when it is replaced.
function isUsed(main) {
  const focused = document.activeElement;
  return (focused !== main && main.contains(focused)) || selectsIn(main) || main.querySelector("details[open]") !== null;
}

async function refresh(main) {
  if (document.hidden || isUsed(main)) return;
  try {
    const reply = await fetch(location.href, { headers: { accept: "text/html" } });
    if (reply.status === 401) location.reload(); // the session is over: the page says so, and how to sign in
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("main");
    if (!fresh || !fresh.dataset.refresh || isUsed(main)) return;
    main.replaceChildren(...fresh.childNodes);
    prepare(main);
  } catch {
    // The gateway restarts: the next time may do.
  }
}

// The answer to a form has the address of its page, so that loading it again does not send the form again.
if (document.body.dataset.address) history.replaceState(null, "", document.body.dataset.address);

prepare(document);
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
const main = document.getElementById("main");
if (main.dataset.refresh) setInterval(() => refresh(main), Number(main.dataset.refresh) * 1000);

// Running requests. What is shown is replaced as a whole, so a page that is open for long does not grow. Of what has
// the focus, the same is focused again. Screen readers are told the count: when it has changed, and not too often.
function watchLive(area) {
  const button = document.getElementById("live-pause");
  const status = document.getElementById("live-status");
  const mode = document.querySelector(".updates .scripted");
  const box = button.parentElement;
  const seconds = Number(area.dataset.live);
  const announceEvery = 15000;
  let paused = false;
  let timer = 0;
  let announcedAt = 0;
  let announced = area.dataset.summary;
  let failures = 0;

  function say(text) {
    if (status.textContent !== text) status.textContent = text;
  }

  function announce() {
    const now = Date.now();
    if (area.dataset.summary === announced || now - announcedAt < announceEvery) return;
    announced = area.dataset.summary;
    announcedAt = now;
    say(announced);
  }

  function showMode() {
    const fails = " Not updated: the gateway does not answer. It is tried again.";
    const text = paused ? " Paused." : failures > 0 ? fails : ` Updated every ${seconds} seconds.`;
    if (mode.lastChild.data === text) return;
    mode.lastChild.data = text;
    box.classList.toggle("paused", paused);
    box.classList.toggle("failing", failures > 0);
    if (!paused) say(failures > 0 ? text.trim() : area.dataset.summary);
  }

  function replace(fresh) {
    const focus = document.activeElement && area.contains(document.activeElement)
      ? document.activeElement.dataset.focus : null;
    const places = [...area.querySelectorAll(".table")].map((one) => one.scrollLeft);
    area.replaceChildren(...fresh.childNodes);
    area.dataset.summary = fresh.dataset.summary;
    showTimes(area);
    area.querySelectorAll(".table").forEach((one, index) => { one.scrollLeft = places[index] || 0; });
    if (focus) {
      const again = [...area.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focus);
      (again || button).focus({ preventScroll: true });
    }
  }

  async function look() {
    const controller = new AbortController();
    const limit = setTimeout(() => controller.abort(), 30000);
    try {
      const reply = await fetch(location.href, { headers: { accept: "text/html" }, signal: controller.signal });
      if (reply.status === 401) { // the session is over: the page says so, and how to sign in
        location.reload();
        return false;
      }
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("live");
      if (reply.ok && fresh && !paused && !selectsIn(area)) {
        replace(fresh);
        announce();
        failures = 0;
      } else if (!reply.ok || !fresh) {
        failures += 1;
      }
    } catch {
      failures += 1; // the gateway restarts: the next time may do
    } finally {
      clearTimeout(limit);
    }
    showMode();
    return true;
  }

  function plan(delay) {
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(run, delay);
  }

  let running = false;
  async function run() {
    if (running || paused || document.hidden) return;
    running = true;
    const goesOn = await look();
    running = false;
    if (goesOn) plan(seconds * 1000 * Math.min(2 ** failures, 15));
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    showMode();
    plan(0);
  });
  document.addEventListener("visibilitychange", () => plan(0));
  button.hidden = mode.hidden = false;
  for (const one of document.querySelectorAll(".unscripted")) one.hidden = true;
  plan(seconds * 1000);
}

const live = document.getElementById("live");
if (live) watchLive(live);
