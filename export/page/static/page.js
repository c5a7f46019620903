"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const ROW = 64; // bits in a row of the strip

let about;
let query = null; // {code, item, name, picture}: what the results are near to
let latest = new AbortController();
let waiting; // for a slider to come to rest

// Small parts

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const count = (number, one, many = one + "s") =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

function path(className, bits, row, gap) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  const size = 1 - gap;
  made.setAttribute(
    "d",
    bits.map((bit) => `M${bit % row} ${Math.floor(bit / row)}h${size}v${size}h-${size}z`).join(""),
  );
  return made;
}

function bitsOf(hex) {
  return Array.from({ length: about.bits }, (_, bit) => (parseInt(hex[bit >> 2], 16) >> (3 - (bit & 3))) & 1);
}

function drawCode(differs = null, other = "") {
  const bits = bitsOf(query.code);
  const row = Math.min(ROW, about.bits);
  const rows = Math.ceil(about.bits / row);
  const where = (value) => bits.flatMap((bit, at) => (bit === value ? [at] : []));
  $("bits").setAttribute("viewBox", `0 0 ${row} ${rows}`);
  $("bits").style.height = `${rows * (rows > 1 ? 14 : 22)}px`;
  $("bits").replaceChildren(
    path("zero", where(0), row, 0.12),
    path("one", where(1), row, 0.12),
    path("differs", differs ?? [], row, 0.12),
  );
  const difference = differs && (differs.length ? `bits ${differs.join(", ")}` : "no bit");
  $("code-caption").textContent = differs
    ? `${other} differs in ${difference}`
    : `The code of the picture, ${count(about.bits, "bit")}: ${query.code}`;
  $("code").hidden = false;
}

function strip(differs) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("viewBox", `0 0 ${about.bits} 1`);
  made.setAttribute("preserveAspectRatio", "none");
  made.setAttribute("aria-hidden", "true");
  const all = document.createElementNS(SVG, "rect");
  all.setAttribute("class", "zero");
  all.setAttribute("width", about.bits);
  all.setAttribute("height", 1);
  made.append(all, path("differs", differs, about.bits, 0));
  return made;
}

const nameOf = (found) => (found.label ? `${found.label}, ${found.id}` : found.id);
const thumbnailOf = (item) => `thumbnail/${item}?of=${about.key}`;

function pixelate(image) {
  image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 72));
  return image;
}

function card(found, onClick, action) {
  const image = pixelate(element("img", { alt: "", loading: "lazy", src: thumbnailOf(found.item) }));
  image.addEventListener("error", () => image.replaceWith(element("span", { className: "missing", textContent: "no picture" })));
  const distance = element("span", {
    className: found.distance ? "distance some" : "distance",
    textContent: count(found.distance, "bit"),
    title: "Hamming distance: the bits that differ",
  });
  const id = element("span", { className: "id", textContent: found.id });
  const label = found.label && element("span", { className: "label", textContent: found.label });
  const texts = element("span", { className: "about" }, ...(label ? [label, distance, id] : [id, distance]));
  const button = element("button", { type: "button", onclick: () => onClick(found) }, image, ...(found.differs ? [strip(found.differs)] : []), texts);
  button.setAttribute("aria-label", `${nameOf(found)}, distance ${found.distance}: ${action}`);
  return element("li", { className: "card" }, button);
}

function say(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}

async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The page's server does not answer: is `python -m export page` still running?");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ error: answer.statusText }));
  throw new Error(problem.error);
}

// Only the latest question is answered; what fails is said, and the page goes on.
async function attempt(work) {
  clearTimeout(waiting);
  latest.abort();
  latest = new AbortController();
  try {
    await work(latest.signal);
    say("");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
  }
}

// Search

const limits = () => `k=${$("k").value}&distance=${$("distance").value}`;

function searchPicture(file) {
  return attempt(async (signal) => {
    if (file.size > about.largest_upload)
      throw new Error(`The picture has more than ${about.largest_upload / 2 ** 20} MB`);
    $("status").textContent = "Searching…";
    try {
      const answer = await ask(`search?${limits()}`, {
        method: "POST",
        body: file,
        headers: { "Content-Type": "application/octet-stream" },
        signal,
      });
      const found = await answer.json();
      go({ code: found.code, name: file.name || "Pasted picture", picture: URL.createObjectURL(file) }, found);
    } catch (error) {
      $("status").textContent = "";
      throw error;
    }
  });
}

function searchItem(item, push = true) {
  return attempt(async (signal) => {
    const found = await (await ask(`search?item=${item}&${limits()}`, { signal })).json();
    const { item: number } = found.query;
    go({ code: found.code, item: number, name: nameOf(found.query), picture: thumbnailOf(number) }, found, push);
  });
}

function searchAgain() {
  if (!query) return;
  if (query.item !== undefined) return searchItem(query.item, false);
  return attempt(async (signal) => {
    const found = await (await ask(`search?code=${query.code}&${limits()}`, { signal })).json();
    show(found);
  });
}

function go(next, found, push = true) {
  query = next;
  const hash = next.item === undefined ? `#code=${next.code}` : `#item=${next.item}`;
  if (push) history.pushState(next, "", hash);
  else history.replaceState(next, "", hash);
  $("to-search").href = hash;
  view("search");
  show(found);
}

function show(found) {
  $("query-picture").hidden = !query.picture;
  if (query.picture) $("query-picture").src = query.picture;
  $("query-picture").alt = `The picture that was searched with: ${query.name}`;
  $("query-name").textContent = query.name;
  drawCode();
  const cards = found.results.map((one) => {
    const made = card(one, (chosen) => searchItem(chosen.item).then(toTop), "search with this picture");
    const button = made.firstChild;
    for (const event of one.differs ? ["pointerenter", "focus"] : [])
      button.addEventListener(event, () => drawCode(one.differs, nameOf(one)));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => drawCode());
    made.append(
      element("a", {
        className: "whole",
        href: `picture/${one.item}?of=${about.key}`,
        target: "_blank",
        textContent: "↗",
        title: "The whole picture",
        ariaLabel: `The whole picture of ${nameOf(one)}`,
      }),
    );
    return made;
  });
  $("results").replaceChildren(...cards);
  const farthest = found.results.at(-1)?.distance;
  $("status").textContent = cards.length
    ? `${count(cards.length, "nearest picture")}, up to distance ${farthest} of ${about.bits} bits`
    : "Nothing within this distance";
}

function toTop() {
  window.scrollTo({ top: 0 });
  $("results").querySelector("button")?.focus({ preventScroll: true });
}

// Arrow keys move in a grid, where rows are as wide as the window makes them.
function moveByArrow(event) {
  const buttons = [...event.currentTarget.querySelectorAll(".card > button")];
  const at = buttons.indexOf(document.activeElement);
  if (at < 0) return;
  const top = (button) => button.getBoundingClientRect().top;
  const columns = buttons.filter((button) => top(button) === top(buttons[0])).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: buttons.length - 1 - at };
  const next = buttons[at + steps[event.key]];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

// Near-duplicates

const chosen = new Map(); // id → whether it is to be removed, where the user has said so

function showDuplicates(start = 0) {
  return attempt(async (signal) => {
    const radius = $("radius").value;
    if (!start) {
      $("clusters").replaceChildren();
      $("download").disabled = true;
    }
    $("duplicates-status").textContent = "Comparing…";
    try {
      const found = await (await ask(`duplicates?distance=${radius}&start=${start}`, { signal })).json();
      $("clusters").append(...found.shown.map((cluster, at) => clusterOf(cluster, start + at + 1)));
      $("more").hidden = start + found.shown.length >= found.clusters;
      $("more").onclick = () => showDuplicates(start + found.shown.length);
      $("download").disabled = !found.removable;
      $("duplicates-status").textContent = found.clusters
        ? `${count(found.clusters, "cluster")} with ${count(found.items, "picture")}; ` +
          `${count(found.removable, "picture")} can be removed if the first of each cluster stays`
        : "No two pictures are this near to each other";
    } catch (error) {
      $("duplicates-status").textContent = "";
      throw error;
    }
  });
}

function clusterOf(cluster, number) {
  const grid = element("ul", { className: "grid", onkeydown: moveByArrow });
  const add = (items) => {
    const shown = grid.childElementCount;
    grid.append(...items.map((one, at) => removableCard(one, shown + at > 0)));
    const left = cluster.size - grid.childElementCount;
    more.textContent = `Show more of the ${left} that are left, and on the list`;
    more.hidden = !left;
  };
  const more = element("button", { type: "button" });
  more.onclick = () =>
    attempt(async (signal) => {
      const where = `distance=${$("radius").value}&start=${grid.childElementCount}`;
      add((await (await ask(`duplicates/${number - 1}?${where}`, { signal })).json()).items);
    });
  add(cluster.items);
  const heading = element("h2", { textContent: `Cluster ${number}: ${count(cluster.size, "picture")}` });
  return element("li", {}, heading, grid, more);
}

function removableCard(one, removed) {
  const made = card(one, (found) => searchItem(found.item), "search with this picture");
  const box = element("input", { type: "checkbox", checked: chosen.get(one.id) ?? removed });
  box.onchange = () => chosen.set(one.id, box.checked);
  box.setAttribute("aria-label", `Remove ${nameOf(one)}`);
  made.append(element("label", { className: "remove" }, box, "Remove"));
  return made;
}

function download() {
  return attempt(async (signal) => {
    const list = await (await ask(`duplicates.txt?distance=${$("radius").value}`, { signal })).text();
    const ids = new Set(list.split("\n").filter(Boolean));
    for (const [id, remove] of chosen) remove ? ids.add(id) : ids.delete(id);
    const url = URL.createObjectURL(new Blob([...ids].map((id) => `${id}\n`), { type: "text/plain" }));
    element("a", { href: url, download: "delete.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  });
}

// The page

function view(name) {
  for (const one of ["search", "duplicates"]) {
    $(one).hidden = one !== name;
    if (one === name) $(`to-${one}`).setAttribute("aria-current", "page");
    else $(`to-${one}`).removeAttribute("aria-current");
  }
}

function follow() {
  const [name, value] = location.hash.slice(1).split("=");
  if (name === "duplicates") {
    view("duplicates");
    return showDuplicates();
  }
  view("search");
  if (name === "item" && query?.item !== Number(value)) return searchItem(Number(value), false);
  if (name === "code" && (query?.code !== value || query.item !== undefined)) {
    query = history.state?.code === value ? history.state : { code: value, name: `Code ${value}` };
    return searchAgain();
  }
  if (!query && about.items) return searchItem("random", false);
}

function slider(name, text, then) {
  $(name).addEventListener("input", () => {
    $(`${name}-value`).textContent = text($(name).value);
    clearTimeout(waiting);
    waiting = setTimeout(then, 80);
  });
}

function takeFiles(transfer) {
  const file = [...transfer.files][0];
  if (file) searchPicture(file);
  else say("That is no picture file: drop or paste a picture");
}

async function start() {
  about = await (await ask("about")).json();
  $("title").textContent = about.title;
  document.title = `${about.title}: search by picture`;
  $("facts").textContent = `${count(about.items, "picture")}, codes of ${count(about.bits, "bit")}`;
  $("k").max = Math.min(about.largest_k, Math.max(1, about.items - 1));
  $("k-value").textContent = $("k").value;
  $("distance").max = $("distance").value = about.bits;
  $("to-duplicates").hidden = about.largest_radius === null;
  $("radius").max = about.largest_radius;
  $("radius-value").textContent = $("radius").value;

  slider("k", (value) => value, searchAgain);
  slider("distance", (value) => (Number(value) === about.bits ? "any" : value), searchAgain);
  slider("radius", (value) => value, () => {
    chosen.clear();
    showDuplicates();
  });
  $("choose").onclick = () => $("file").click();
  $("random").onclick = () => searchItem("random");
  $("random").disabled = !about.items;
  $("download").onclick = download;
  $("results").onkeydown = moveByArrow;
  $("file").onchange = () => {
    if ($("file").files.length) takeFiles($("file"));
    $("file").value = "";
  };
  pixelate($("query-picture"));
  $("query-picture").onerror = () => ($("query-picture").hidden = true);
  document.addEventListener("paste", (event) => takeFiles(event.clipboardData));
  for (const event of ["dragover", "dragleave", "drop"])
    document.addEventListener(event, (dragged) => {
      dragged.preventDefault();
      $("drop").classList.toggle("over", event === "dragover");
      if (event === "drop") takeFiles(dragged.dataTransfer);
    });
  window.addEventListener("hashchange", follow);
  await follow();
}

start().catch((error) => say(error.message));
