// The steps of an empty gateway: says when the first request has arrived, without loading the page again.
"use strict";

(() => {
  const every = 2000; // milliseconds
  async function look() {
    const step = document.getElementById("first-request");
    if (!step) return; // the overview has refreshed itself
    if (!document.hidden) {
      try {
        const reply = await fetch("/dashboard/requests.json");
        const request = reply.ok ? (await reply.json()).data.at(-1) : null;
        if (request) return arrived(step, request);
      } catch {
        // The gateway restarts: the next time may do.
      }
    }
    setTimeout(look, every);
  }

  function arrived(step, request) {
    const link = document.createElement("a");
    link.href = `/dashboard/requests/${encodeURIComponent(request.record || request.id)}`; // without accounts, ids may repeat
    link.textContent = "Your first request has arrived";
    const about = [request.model || request.requested_model, request.outcome.replaceAll("_", " ")].filter(Boolean).join(", ");
    step.replaceChildren(link, about ? `: ${about}.` : ".");
  }

  const step = document.getElementById("first-request");
  step.append(" This page waits for it.");
  look();
})();
