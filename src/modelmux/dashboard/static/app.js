// What pages do beyond HTML: times in the zone of the browser, buttons that copy, one click for a form, and a refresh.
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

async function refresh(main) {
  if (document.hidden || main.contains(document.activeElement) || main.querySelector("details[open]")) return;
  try {
    const reply = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!reply.ok) return;
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("main");
    if (!fresh || !fresh.dataset.refresh) return;
    main.replaceChildren(...fresh.childNodes);
    prepare(main);
  } catch {
    // The gateway restarts: the next time may do.
  }
}

prepare(document);
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
const main = document.getElementById("main");
if (main.dataset.refresh) setInterval(() => refresh(main), Number(main.dataset.refresh) * 1000);
