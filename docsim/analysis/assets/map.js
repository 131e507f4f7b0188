"use strict";
const { topics, points } = JSON.parse(document.getElementById("content").textContent);
const canvas = document.getElementById("map"), brush = canvas.getContext("2d");
const tip = document.getElementById("tip"), chosen = document.getElementById("chosen");
const words = document.getElementById("words"), list = document.getElementById("topics");
const on = topics.map(() => true);
const view = { scale: 1, x: 0, y: 0 };
let found = points.map(() => true), pinned = -1, width = 0, height = 0;

// Coordinates: from the unit square, where y points up, to pixels of the canvas; and the radius of a dot.
const side = () => Math.min(width, height) * 0.94;
const across = x => (width - side()) / 2 + x * side();
const down = y => (height - side()) / 2 + (1 - y) * side();
const beside = point => across(point[0]) * view.scale + view.x;
const above = point => down(point[1]) * view.scale + view.y;
const size = () => Math.max(1.6, Math.min(6, 90 / Math.sqrt(points.length))) * Math.min(2.5, Math.sqrt(view.scale));
const shown = place => on[points[place][2]] && found[place];

function draw() {
  const ratio = window.devicePixelRatio || 1;
  width = canvas.clientWidth; height = canvas.clientHeight;
  canvas.width = width * ratio; canvas.height = height * ratio;
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, width, height);
  for (const visible of [false, true]) {
    brush.globalAlpha = visible ? 0.75 : 0.1;
    points.forEach((point, place) => {
      if (shown(place) === visible) dot(point, size(), visible ? topics[point[2]].colour : "#888");
    });
  }
  brush.globalAlpha = 1;
  if (pinned >= 0) ring(points[pinned]);
  names();
}

function dot(point, radius, colour) {
  brush.fillStyle = colour;
  brush.beginPath();
  brush.arc(beside(point), above(point), radius, 0, 2 * Math.PI);
  brush.fill();
}

function ring(point) {
  brush.strokeStyle = "#000"; brush.lineWidth = 2;
  brush.beginPath();
  brush.arc(beside(point), above(point), size() + 4, 0, 2 * Math.PI);
  brush.stroke();
}

function names() {
  brush.font = "bold 13px system-ui, sans-serif";
  brush.textAlign = "center"; brush.lineWidth = 4; brush.lineJoin = "round"; brush.strokeStyle = "#ffffffdd";
  topics.forEach((topic, number) => {
    if (!on[number]) return;
    const name = topic.name, x = beside(topic.place), y = above(topic.place);
    brush.strokeText(name, x, y);
    brush.fillStyle = topic.colour;
    brush.fillText(name, x, y);
  });
}

function nearest(x, y) {
  let best = -1, least = (size() + 6) ** 2;
  points.forEach((point, place) => {
    const distance = (beside(point) - x) ** 2 + (above(point) - y) ** 2;
    if (shown(place) && distance < least) { best = place; least = distance; }
  });
  return best;
}

function told(parent, name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  parent.append(element);
  return element;
}

function point_at(event) {
  const box = canvas.getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top, place = nearest(x, y);
  canvas.classList.toggle("pointing", place >= 0);
  tip.style.display = place >= 0 ? "block" : "none";
  if (place >= 0) {
    tip.replaceChildren();
    told(tip, "span", points[place][4] || points[place][3]);
    told(tip, "small", points[place][3]);
    told(tip, "small", topics[points[place][2]].terms);
    tip.style.left = Math.max(0, Math.min(x + 14, width - tip.offsetWidth - 4)) + "px";
    tip.style.top = Math.max(0, Math.min(y + 14, height - tip.offsetHeight - 4)) + "px";
  }
  return place;
}

function pin(place) {
  pinned = place;
  chosen.replaceChildren();
  if (place >= 0) {
    const [x, y, topic, id, title] = points[place];
    told(chosen, "h2", title || id);
    told(chosen, "code", id);
    told(chosen, "p", topics[topic].terms);
    told(chosen, "p", "Close to it:");
    const order = points.map((point, other) => [(point[0] - x) ** 2 + (point[1] - y) ** 2, other]);
    order.splice(place, 1); // by position, because copies of a document have the same place
    for (const [, other] of order.sort((a, b) => a[0] - b[0]).slice(0, 8)) {
      told(told(chosen, "div", ""), "a", points[other][4] || points[other][3]).onclick = () => pin(other);
    }
  }
  draw();
}

topics.forEach((topic, number) => {
  const item = told(list, "li", ""), label = told(item, "label", ""), box = told(label, "input", "");
  box.type = "checkbox"; box.checked = true; box.hidden = true;
  told(label, "i", "").style.background = topic.colour;
  told(told(label, "span", topic.terms + " "), "small", topic.documents);
  const set = states => {
    states.forEach((state, other) => {
      on[other] = state;
      list.children[other].classList.toggle("off", !state);
      list.children[other].querySelector("input").checked = state;
    });
    draw();
  };
  box.onchange = () => set(on.map((state, other) => (other === number ? box.checked : state)));
  const only = told(item, "button", "only");
  only.onclick = () => {
    const alone = on.every((state, other) => state === (other === number));
    set(on.map((_, other) => alone || other === number));
  };
});

words.oninput = () => {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  found = points.map(point => {
    const text = (point[3] + " " + point[4]).toLowerCase();
    return wanted.every(word => text.includes(word));
  });
  draw();
};

let drag = null;
canvas.onpointerdown = event => {
  drag = { x: event.clientX, y: event.clientY, from: { ...view }, moved: false };
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointermove = event => {
  if (!drag) { point_at(event); return; }
  const x = event.clientX - drag.x, y = event.clientY - drag.y;
  drag.moved = drag.moved || Math.hypot(x, y) > 4;
  if (drag.moved) { view.x = drag.from.x + x; view.y = drag.from.y + y; tip.style.display = "none"; draw(); }
};
canvas.onpointerup = event => {
  if (drag && !drag.moved) pin(point_at(event));
  drag = null;
};
canvas.onpointerleave = () => { tip.style.display = "none"; };
canvas.onwheel = event => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const scale = Math.min(60, Math.max(0.5, view.scale * Math.exp(-event.deltaY / 400))), by = scale / view.scale;
  view.x = x - (x - view.x) * by; view.y = y - (y - view.y) * by; view.scale = scale;
  draw();
};
canvas.ondblclick = () => { Object.assign(view, { scale: 1, x: 0, y: 0 }); draw(); };
window.onresize = draw;
draw();
