"use strict";
// Makes the page quicker: hits while typing, keys, and files that are dropped. Everything works without it.

const field = document.querySelector('.ask input[name="q"]');
const results = document.querySelector("#results");
const have = document.querySelector("#have");
let waiting = 0;
let asking = null;

async function refresh() {
  asking?.abort();
  asking = new AbortController();
  const wanted = new URLSearchParams(new FormData(field.form));
  history.replaceState(null, "", `/?${wanted}`);
  wanted.set("part", "true");
  try {
    const answer = await fetch(`/?${wanted}`, { signal: asking.signal, headers: { Accept: "text/html" } });
    if (answer.redirected) location.reload();
    else if (answer.ok) results.innerHTML = await answer.text(); // our own template, which escapes what it shows
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

if (field && results) {
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 150);
  });
}

function move(by) {
  const links = [...document.querySelectorAll(".hit h2 a")];
  const next = links.indexOf(document.activeElement) + by;
  if (next < 0) field?.focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.matches("input, textarea");
  const searching = event.target === field;
  if (event.key === "/" && !typing && field) field.select();
  else if (event.key === "ArrowDown" && (searching || event.target.matches(".hit a"))) move(1);
  else if (event.key === "ArrowUp" && event.target.matches(".hit a")) move(-1);
  else if (event.key === "Escape" && field) field.select();
  else return;
  event.preventDefault();
});

if (have) {
  const over = (on) => document.body.classList.toggle("dropping", on);
  document.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  document.addEventListener("dragleave", () => over(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    if (!event.dataTransfer.files.length) return;
    have.elements.file.files = event.dataTransfer.files;
    have.submit();
  });
}

// Jobs that go on are shown anew every few seconds, until they are over.
async function renew() {
  const jobs = document.querySelector("#jobs[data-refresh]");
  if (!jobs) return;
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.ok) {
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#jobs");
    if (found) jobs.replaceWith(found); // our own template, as above
  }
  setTimeout(renew, 3000);
}
if (document.querySelector("#jobs[data-refresh]")) setTimeout(renew, 3000);
// How long a document was read, once the page is left; told only where use is recorded.
const say = document.querySelector("#say");
if (say) {
  const opened = Date.now();
  let told = false;
  addEventListener("pagehide", () => {
    if (told) return;
    told = true;
    const seconds = Math.min((Date.now() - opened) / 1000, 86400);
    const form = new FormData();
    for (const [name, value] of [["s", say.elements.s.value], ["id", say.elements.id.value], ["kind", "dwell"], ["seconds", seconds]]) {
      form.append(name, value);
    }
    navigator.sendBeacon("/feedback", form);
  });
}
