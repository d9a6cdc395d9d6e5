// Draws a model's neurons as points: WebGL2 where there is one, else pixel by pixel.
"use strict";
(async () => {
  const plot = document.getElementById("plot");
  const canvas = document.getElementById("points"), over = document.getElementById("over");
  const told = document.getElementById("told"), count = document.getElementById("count");
  const lassoOn = document.getElementById("lasso-on");
  const asked = plot.dataset;
  const palette = asked.palette.trim().split(/\s+/).filter(Boolean).map(rgb);
  const isCosine = (name) => name.startsWith("cos_");

  function rgb(hex) {
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  }

  count.textContent = "Fetching the points…";
  const answer = await fetch(asked.points);
  if (!answer.ok) {
    count.textContent = await answer.text();
    return;
  }
  const numbers = new Float32Array(await answer.arrayBuffer());
  const n = numbers.length / 5;
  const column = (at) => numbers.subarray(at * n, (at + 1) * n);
  const [layers, neurons, xs, ys, shades] = [0, 1, 2, 3, 4].map(column);

  const ranges = { x: reach(asked.x, xs), y: reach(asked.y, ys) };
  function extent(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? [low, high] : [0, 1];
  }
  function reach(name, values) {
    if (isCosine(name)) return [-1.05, 1.05];
    const [low, high] = extent(values), margin = (high - low || 1) * 0.03;
    return [low - margin, high + margin];
  }

  // Colours by class or role, else from blue over grey to orange; grey classes go below the others.
  const colours = new Uint8Array(4 * n);
  const order = new Uint32Array(n);
  (() => {
    const low = [0, 114, 178], middle = [176, 176, 176], high = [213, 94, 0];
    let [least, most] = isCosine(asked.colour) ? [-1, 1] : extent(shades);
    if (asked.colour === "vocab_skew") { most = Math.max(Math.abs(least), Math.abs(most)); least = -most; }
    const range = document.getElementById("ramp-range");
    if (range) range.textContent = `${least.toPrecision(3)} to ${most.toPrecision(3)}`;
    let first = 0, last = n - 1;
    for (let at = 0; at < n; at++) {
      let colour;
      if (palette.length) {
        colour = palette[shades[at]] ?? [119, 119, 119];
        if (shades[at] === palette.length - 1) order[first++] = at;
        else order[last--] = at;
      } else {
        order[at] = at;
        const share = Math.max(0, Math.min(1, (shades[at] - least) / (most - least || 1)));
        const [from, to, part] = share < 0.5 ? [low, middle, 2 * share] : [middle, high, 2 * share - 1];
        colour = Number.isNaN(share) ? [119, 119, 119] : from.map((value, i) => value + (to[i] - value) * part);
      }
      colours.set(colour, 4 * at);
      colours[4 * at + 3] = n > 100000 ? 140 : 190;
    }
  })();

  const view = { x: [...ranges.x], y: [...ranges.y] };
  const frame = { left: 46, right: 8, top: 8, bottom: 30 };
  let width = 0, height = 0, density = 1;
  const toX = (value) => frame.left + (value - view.x[0]) / (view.x[1] - view.x[0]) * (width - frame.left - frame.right);
  const toY = (value) => height - frame.bottom - (value - view.y[0]) / (view.y[1] - view.y[0]) * (height - frame.top - frame.bottom);
  const fromX = (at) => view.x[0] + (at - frame.left) / (width - frame.left - frame.right) * (view.x[1] - view.x[0]);
  const fromY = (at) => view.y[0] + (height - frame.bottom - at) / (height - frame.top - frame.bottom) * (view.y[1] - view.y[0]);

  const size = () => Math.max(1.5, Math.min(5, 900 / Math.sqrt(n + 1)) * Math.min(2, Math.sqrt((ranges.x[1] - ranges.x[0]) / (view.x[1] - view.x[0]))));
  const painter = withWebGl() ?? withPixels();

  function withWebGl() {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: false, preserveDrawingBuffer: true });
    if (!gl) return null;
    const made = (kind, text) => {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      return shader;
    };
    const program = gl.createProgram();
    gl.attachShader(program, made(gl.VERTEX_SHADER, `#version 300 es
      in float x, y; in vec4 colour; uniform vec4 place; uniform float size; out vec4 shade;
      void main() { gl_Position = vec4(x * place.x + place.y, y * place.z + place.w, 0.0, 1.0); gl_PointSize = size; shade = colour; }`));
    gl.attachShader(program, made(gl.FRAGMENT_SHADER, `#version 300 es
      precision mediump float; in vec4 shade; out vec4 pixel;
      void main() { if (length(gl_PointCoord - 0.5) > 0.5) discard; pixel = shade; }`));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    gl.useProgram(program);
    const buffer = (name, values, width, kind, normalised) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      const at = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, width, kind, normalised, 0, 0);
    };
    buffer("x", xs, 1, gl.FLOAT, false);
    buffer("y", ys, 1, gl.FLOAT, false);
    buffer("colour", colours, 4, gl.UNSIGNED_BYTE, true);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.STATIC_DRAW);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.SCISSOR_TEST);
    return () => {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.scissor(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.scissor(frame.left * density, frame.bottom * density, (width - frame.left - frame.right) * density, (height - frame.top - frame.bottom) * density);
      const scaleX = 2 / width * (width - frame.left - frame.right) / (view.x[1] - view.x[0]);
      const scaleY = 2 / height * (height - frame.top - frame.bottom) / (view.y[1] - view.y[0]);
      gl.uniform4f(gl.getUniformLocation(program, "place"),
        scaleX, 2 * frame.left / width - 1 - view.x[0] * scaleX,
        scaleY, 2 * frame.bottom / height - 1 - view.y[0] * scaleY);
      gl.uniform1f(gl.getUniformLocation(program, "size"), size() * density);
      gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 0);
    };
  }

  function withPixels() {
    const context = canvas.getContext("2d");
    return () => {
      const image = context.createImageData(canvas.width, canvas.height);
      const wide = Math.max(1, Math.round(size() * density / 2));
      for (const at of order) {
        const left = Math.round(toX(xs[at]) * density), top = Math.round(toY(ys[at]) * density);
        if (left < frame.left * density || top < frame.top * density || left > (width - frame.right) * density || top > (height - frame.bottom) * density) continue;
        for (let row = top; row < top + wide && row < canvas.height; row++) {
          for (let place = left; place < left + wide && place < canvas.width; place++) {
            image.data.set(colours.subarray(4 * at, 4 * at + 4), 4 * (row * canvas.width + place));
          }
        }
      }
      context.putImageData(image, 0, 0);
    };
  }

  const ink = () => getComputedStyle(plot);
  function axes() {
    const context = over.getContext("2d"), style = ink();
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = style.getPropertyValue("--faint");
    context.fillStyle = style.getPropertyValue("--faint");
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeRect(frame.left + 0.5, frame.top + 0.5, width - frame.left - frame.right - 1, height - frame.top - frame.bottom - 1);
    for (const value of ticks(view.x)) {
      context.textAlign = "center";
      context.fillText(label(value), toX(value), height - frame.bottom + 13);
    }
    for (const value of ticks(view.y)) {
      context.textAlign = "right";
      context.fillText(label(value), frame.left - 4, toY(value) + 4);
    }
    context.textAlign = "center";
    context.fillText(asked.x.replaceAll("_", " "), (frame.left + width - frame.right) / 2, height - 4);
    context.save();
    context.translate(10, (frame.top + height - frame.bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(asked.y.replaceAll("_", " "), 0, 0);
    context.restore();
    context.save();
    context.beginPath();
    context.rect(frame.left, frame.top, width - frame.left - frame.right, height - frame.top - frame.bottom);
    context.clip();
    context.setLineDash([3, 3]);
    if (isCosine(asked.x) && isCosine(asked.y)) {
      context.beginPath();
      context.ellipse(toX(0), toY(0), Math.abs(toX(1) - toX(0)), Math.abs(toY(1) - toY(0)), 0, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
    if (line.length > 1) {
      context.strokeStyle = style.getPropertyValue("--ink");
      context.fillStyle = "rgb(128 128 128 / 15%)";
      context.lineWidth = 1.5;
      context.beginPath();
      line.forEach(([x, y]) => context.lineTo(toX(x), toY(y)));
      context.closePath();
      context.fill();
      context.stroke();
    }
    context.restore();
  }
  function ticks([low, high]) {
    const raw = (high - low) / 6, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(Math.abs(value) < step / 1e6 ? 0 : value);
    return found;
  }
  const label = (value) => String(Number(value.toPrecision(6)));

  let line = [];
  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      painter();
      axes();
    });
  }
  function resize() {
    const box = plot.getBoundingClientRect();
    density = Math.min(2, window.devicePixelRatio || 1);
    width = Math.max(200, Math.floor(box.width));
    height = Math.max(200, Math.floor(box.height));
    for (const each of [canvas, over]) {
      each.width = width * density;
      each.height = height * density;
    }
    grid = null;
    draw();
  }

  // Points by cells of the screen, made anew when the view changes, to find the nearest one.
  let grid = null;
  const cell = 12;
  function nearest(left, top) {
    if (!grid) {
      grid = new Map();
      for (let at = 0; at < n; at++) {
        const key = Math.floor(toX(xs[at]) / cell) * 10007 + Math.floor(toY(ys[at]) / cell);
        if (grid.has(key)) grid.get(key).push(at);
        else grid.set(key, [at]);
      }
    }
    let best = -1, closest = 81;
    for (let dx = -1; dx <= 1; dx++) {
      for (let dy = -1; dy <= 1; dy++) {
        for (const at of grid.get((Math.floor(left / cell) + dx) * 10007 + Math.floor(top / cell) + dy) ?? []) {
          const away = (toX(xs[at]) - left) ** 2 + (toY(ys[at]) - top) ** 2;
          if (away < closest) [best, closest] = [at, away];
        }
      }
    }
    return best;
  }

  function moved(name, by) {
    const span = view[name][1] - view[name][0];
    view[name] = view[name].map((value) => value + by * span);
  }
  function zoomed(factor, x, y) {
    for (const [name, at] of [["x", x], ["y", y]]) {
      view[name] = view[name].map((value) => at + (value - at) * factor);
    }
  }
  function changed() {
    grid = null;
    told.value = "";
    draw();
  }

  let from = null;
  over.addEventListener("pointerdown", (event) => {
    over.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    from = { left: event.offsetX, top: event.offsetY, moved: false, x: [...view.x], y: [...view.y] };
    if (lassoOn.checked) line = [[fromX(event.offsetX), fromY(event.offsetY)]];
  });
  over.addEventListener("pointermove", (event) => {
    if (!from) {
      const at = nearest(event.offsetX, event.offsetY);
      told.value = at < 0 ? "" : `${layers[at]}.${neurons[at]}  ${asked.x} ${xs[at].toPrecision(3)}, ${asked.y} ${ys[at].toPrecision(3)}`;
      over.classList.toggle("on-point", at >= 0);
      return;
    }
    if (Math.hypot(event.offsetX - from.left, event.offsetY - from.top) > 4) from.moved = true;
    if (!from.moved) return;
    if (lassoOn.checked) line.push([fromX(event.offsetX), fromY(event.offsetY)]);
    else {
      const x = (event.offsetX - from.left) / (width - frame.left - frame.right) * (from.x[1] - from.x[0]);
      const y = (event.offsetY - from.top) / (height - frame.top - frame.bottom) * (from.y[1] - from.y[0]);
      view.x = from.x.map((value) => value - x);
      view.y = from.y.map((value) => value + y);
    }
    changed();
  });
  over.addEventListener("pointerup", (event) => {
    const was = from;
    from = null;
    if (!was?.moved) {
      line = [];
      const at = nearest(event.offsetX, event.offsetY);
      if (at >= 0) location.href = `${asked.neuron}/${layers[at]}/${neurons[at]}`;
      else draw();
      return;
    }
    if (lassoOn.checked && line.length > 2) enclosed();
  });
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomed(event.deltaY > 0 ? 1.2 : 1 / 1.2, fromX(event.offsetX), fromY(event.offsetY));
    changed();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const middle = [(view.x[0] + view.x[1]) / 2, (view.y[0] + view.y[1]) / 2];
    const does = {
      ArrowLeft: () => moved("x", -0.1), ArrowRight: () => moved("x", 0.1),
      ArrowDown: () => moved("y", -0.1), ArrowUp: () => moved("y", 0.1),
      "+": () => zoomed(1 / 1.25, ...middle), "=": () => zoomed(1 / 1.25, ...middle), "-": () => zoomed(1.25, ...middle),
      "0": () => { view.x = [...ranges.x]; view.y = [...ranges.y]; },
      Escape: () => { line = []; },
    }[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    does();
    changed();
  });

  // The list is the page's own, made where every page is made: its escaped HTML, taken over.
  async function enclosed() {
    const every = Math.ceil(line.length / 120);
    line = line.filter((_, at) => at % every === 0);
    if (line.length < 3) return;
    const corners = line.map(([x, y]) => `${x.toPrecision(5)},${y.toPrecision(5)}`).join(";");
    const where = `${asked.here}&lasso=${encodeURIComponent(corners)}`;
    const page = await fetch(where);
    const list = new DOMParser().parseFromString(await page.text(), "text/html").querySelector(page.ok ? "#list" : ".refusal");
    document.getElementById("list").replaceChildren(...list.childNodes);
    history.replaceState(null, "", where);
    for (const link of document.querySelectorAll(".formats a, a.copy")) {
      const to = new URL(link.href);
      to.searchParams.set("lasso", corners);
      link.href = to.href;
    }
    draw();
  }
  const given = new URLSearchParams(location.search).get("lasso");
  if (given) line = given.split(";").filter(Boolean).map((pair) => pair.split(",").map(Number));

  count.textContent = `${n.toLocaleString("en")} points`;
  new ResizeObserver(resize).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  resize();
  plot.dataset.drawn = "1";
})();
