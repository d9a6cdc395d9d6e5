// Turns three vectors in a plane: cosines, class and response follow while they are dragged.
"use strict";
(() => {
  const svg = document.getElementById("vectors");
  const form = document.getElementById("angles");
  const surface = document.getElementById("surface");
  const under = document.getElementById("under");
  const names = ["gate", "in", "out"];
  const radius = 90, edge = 3;
  const angle = (name) => Number(form.elements[name].value) * Math.PI / 180;
  const cosine = (a, b) => Math.cos(angle(a) - angle(b));
  const side = (value) => (value > 0.5 ? 1 : value < -0.5 ? -1 : 0);
  form.querySelector("button").hidden = true;

  // The definition of docs/definitions.md; a test compares it with the catalog's own.
  function classified(gateIn, gateOut, inOut) {
    const through = side(inOut), gated = side(gateOut);
    const name = through === 0
      ? (gated === 0 ? "orthogonal output" : "proportional change")
      : (gated === 0 ? "conditional " : "") + (through > 0 ? "enrichment" : "depletion");
    const atypical = name !== "orthogonal output" && side(gateIn) !== gated * through;
    return { name, atypical };
  }

  function post(x, y) {
    const gate = x * Math.cos(angle("gate")) + y * Math.sin(angle("gate"));
    const within = x * Math.cos(angle("in")) + y * Math.sin(angle("in"));
    return { gate, within, post: gate / (1 + Math.exp(-gate)) * within };
  }

  function draw() {
    for (const name of names) {
      const x = radius * Math.cos(angle(name)), y = -radius * Math.sin(angle(name));
      const group = svg.querySelector(`[data-vector="${name}"]`);
      const [line, knob, text] = group.children;
      line.setAttribute("x2", x); line.setAttribute("y2", y);
      knob.setAttribute("cx", x); knob.setAttribute("cy", y);
      text.setAttribute("x", 1.17 * x); text.setAttribute("y", 1.17 * y + 4);
      form.elements[name].nextElementSibling.value = `${form.elements[name].value}°`;
    }
    const values = {
      cos_gate_in: cosine("gate", "in"), cos_gate_out: cosine("gate", "out"), cos_in_out: cosine("in", "out"),
    };
    for (const [name, value] of Object.entries(values)) {
      const text = value.toFixed(3);
      document.querySelector(`[data-cosine="${name}"]`).textContent = value < 0 ? text : `+${text}`;
    }
    const found = classified(values.cos_gate_in, values.cos_gate_out, values.cos_in_out);
    const verdict = document.getElementById("verdict");
    verdict.textContent = (found.atypical ? "atypical " : "") + found.name;
    verdict.className = `io-class io-${found.name.replace(" ", "-")}`;
    for (const cell of document.querySelectorAll("#definition td")) {
      cell.classList.toggle("now", cell.dataset.class === found.name);
    }
    respond();
  }

  function respond() {
    const size = surface.width, context = surface.getContext("2d");
    const image = context.createImageData(size, size);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const x = (column + 0.5) / size * 2 * edge - edge, y = edge - (row + 0.5) / size * 2 * edge;
        const value = Math.tanh(post(x, y).post / 3), at = 4 * (row * size + column);
        const [red, green, blue] = value > 0 ? [230, 105, 26] : [43, 123, 186];
        image.data[at] = red; image.data[at + 1] = green; image.data[at + 2] = blue;
        image.data[at + 3] = Math.round(255 * Math.abs(value));
      }
    }
    context.putImageData(image, 0, 0);
    for (const name of names) {
      const colour = svg.querySelector(`[data-vector="${name}"] line`).getAttribute("stroke");
      context.strokeStyle = colour; context.lineWidth = 2.5;
      context.beginPath(); context.moveTo(size / 2, size / 2);
      context.lineTo(size / 2 * (1 + Math.cos(angle(name)) / edge * 1.6), size / 2 * (1 - Math.sin(angle(name)) / edge * 1.6));
      context.stroke();
    }
  }

  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    held = event.target.closest("[data-vector]")?.dataset.vector ?? null;
    if (held) { svg.setPointerCapture(event.pointerId); event.preventDefault(); }
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    const box = svg.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2, y = box.top + box.height / 2 - event.clientY;
    form.elements[held].value = Math.round(Math.atan2(y, x) * 180 / Math.PI);
    draw();
  });
  svg.addEventListener("pointerup", () => { held = null; remember(); });
  surface.addEventListener("pointermove", (event) => {
    const box = surface.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * 2 * edge - edge;
    const y = edge - (event.clientY - box.top) / box.height * 2 * edge;
    const there = post(x, y);
    under.value = `gate ${there.gate.toFixed(2)}, in ${there.within.toFixed(2)}, post ${there.post.toFixed(2)}`;
  });
  function remember() {
    history.replaceState(null, "", `?${new URLSearchParams(new FormData(form))}`);
  }
  form.addEventListener("input", draw);
  form.addEventListener("change", remember);
  draw();
})();
