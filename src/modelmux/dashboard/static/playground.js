// The playground: its form is sent by this script, so that the answer appears while it is written and can be stopped.
// Without it, the same form answers with the whole page.
"use strict";

(() => {
  const form = document.getElementById("ask");
  const stop = document.getElementById("stop");
  const status = document.getElementById("playground-status");
  const answer = document.getElementById("answer");
  const thinking = document.getElementById("thinking");
  const part = (name) => document.getElementById(`part-${name}`);
  const parts = ["error", "thinking", "text", "end", "charged", "start", "sent"];
  const SIGNED_OUT = "You are not signed in any more. Copy what you wrote, sign in with a new link, and load the page again.";
  let running = null;

  function offerOptions() {
    const model = form.elements.model.selectedOptions[0];
    if (!model) return;
    const efforts = model.dataset.efforts.split(" ");
    for (const option of form.elements.effort.options) option.disabled = option.value !== "" && !efforts.includes(option.value);
    if (form.elements.effort.selectedOptions[0].disabled) form.elements.effort.value = "";
    form.elements.temperature.disabled = model.dataset.temperature !== "yes";
  }

  function showHtml(name, html) {
    const nodes = new DOMParser().parseFromString(html, "text/html").body.childNodes;
    part(name).replaceChildren(...nodes);
    offerCopies(part(name));
  }

  function showError(message) {
    answer.hidden = false;
    const notice = document.createElement("div");
    notice.className = "notice notice-bad";
    notice.setAttribute("role", "alert");
    notice.textContent = message;
    part("error").replaceChildren(notice);
  }

  function show(name, data) {
    if (name === "text" || name === "thinking") {
      if (name === "thinking") thinking.hidden = false;
      part(name).append(data.text);
    } else if (name === "failed") {
      showError(data.message);
    } else {
      if (name === "start" || name === "error") answer.hidden = false;
      showHtml(name, data.html);
    }
  }

  async function read(stream, call) {
    let rest = "";
    let fails = false;
    for (;;) {
      const { value, done } = await stream.read();
      if (done || running !== call) return;
      rest += value;
      const events = rest.split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const [name, data] = event.split("\n").map((line) => line.slice(line.indexOf(" ") + 1));
        show(name, JSON.parse(data));
        fails ||= name === "error" || name === "failed"; // of a stream that breaks, what there is of the answer follows
        if (fails || name === "end") end(fails ? "The request has failed." : "The answer is complete.");
      }
    }
  }

  function end(text) {
    status.textContent = text;
    if (document.activeElement === stop) form.querySelector("button.primary").focus(); // what is hidden loses the focus
    stop.hidden = true;
    answer.removeAttribute("aria-busy");
  }

  function begin(does) {
    for (const name of parts) part(name).replaceChildren();
    thinking.hidden = answer.hidden = true;
    answer.setAttribute("aria-busy", "true");
    stop.hidden = does !== "send";
    status.textContent = does === "send" ? "Sent." : "";
  }

  async function send(does) {
    const body = new URLSearchParams(new FormData(form));
    body.set("do", does);
    begin(does);
    const call = new AbortController();
    running = call;
    try {
      const headers = { accept: "application/json" };
      const reply = await fetch(form.dataset.stream, { method: "POST", body, headers, signal: call.signal });
      if (reply.ok) await read(reply.body.pipeThrough(new TextDecoderStream()).getReader(), call);
      else if (reply.status === 401) showError(SIGNED_OUT);
      else showError((await reply.json()).error.message);
      if (running === call) end(status.textContent || "It is shown below.");
    } catch (error) {
      if (running !== call) return; // the next one has begun
      if (error.name === "AbortError") {
        part("end").textContent = "Stopped: the request has ended. What it used until then is charged.";
        end("Stopped.");
      } else {
        showError("The connection to the dashboard broke. Load the page again.");
        end("");
      }
    }
    if (running === call) running = null;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    delete form.dataset.sent; // it is sent again from the same page
    if (running && answer.hasAttribute("aria-busy")) return;
    if (running) running.abort(); // only its cost is still to come
    send(event.submitter ? event.submitter.value : "send");
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  stop.addEventListener("click", () => { if (running) running.abort(); });
  form.elements.model.addEventListener("change", offerOptions);
  offerOptions();
})();
