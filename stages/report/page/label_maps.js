// Label maps: unpack them, paint them on a canvas in the colours of the names, and draw numbers and outlines.
"use strict";
USSEG.labelMaps = {
  // The labels of a packed map, Int32Array, row by row; -1 where there is none.
  async unpack(packed) {
    if (packed.labels) return packed.labels;
    const stream = Uint8Array.from(atob(packed.data), (character) => character.charCodeAt(0));
    const plain = new Blob([stream]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(plain).arrayBuffer());
    const labels = new Int32Array(packed.h * packed.w);
    for (let k = 0; k < labels.length; k += 1) {
      labels[k] = (packed.bytes === 1 ? bytes[k] : bytes[2 * k] + 256 * bytes[2 * k + 1]) - 1;
    }
    packed.labels = labels;
    return labels;
  },

  rgb(color) {
    return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  },

  // Paint labels; `color` maps a label to #rrggbb, or to null for a transparent pixel.
  paint(canvas, packed, labels, color) {
    canvas.width = packed.w;
    canvas.height = packed.h;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(packed.w, packed.h);
    const words = new Uint32Array(picture.data.buffer);
    const known = new Map();
    for (let k = 0; k < labels.length; k += 1) {
      let word = known.get(labels[k]);
      if (word === undefined) {
        const value = color(labels[k]);
        const [red, green, blue] = value ? USSEG.labelMaps.rgb(value) : [0, 0, 0];
        word = value ? ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0 : 0;
        known.set(labels[k], word);
      }
      words[k] = word;
    }
    context.putImageData(picture, 0, 0);
  },

  // The colour of a label of the result, and none for a class that the filter leaves out.
  resultColor(label) {
    if (label < 0) return null;
    const chosen = USSEG.state.chosenClusters();
    if (chosen.size && !chosen.has(label)) return null;
    return USSEG.names.color(label);
  },

  // Draw the edges between different values; `value` maps a label to what must be equal on both sides.
  outline(canvas, packed, labels, value) {
    const { w, h } = packed;
    const scale = Math.max(2, Math.ceil(1024 / Math.max(w, h)));
    canvas.width = w * scale;
    canvas.height = h * scale;
    const values = Array.from(labels, value);
    const path = new Path2D();
    for (let y = 0; y < h; y += 1) {
      for (let x = 0; x < w; x += 1) {
        const k = y * w + x;
        if (x + 1 < w && values[k] !== values[k + 1]) {
          path.moveTo((x + 1) * scale, y * scale);
          path.lineTo((x + 1) * scale, (y + 1) * scale);
        }
        if (y + 1 < h && values[k] !== values[k + w]) {
          path.moveTo(x * scale, (y + 1) * scale);
          path.lineTo((x + 1) * scale, (y + 1) * scale);
        }
      }
    }
    const context = canvas.getContext("2d");
    context.lineCap = "round";
    const widths = { "#101014": 5, "#fff": 2 };
    for (const [color, width] of Object.entries(widths)) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.stroke(path);
    }
  },

  // Numbers are drawn where colours alone are hard to name.
  numbered() {
    return USSEG.project.clusters.length > 8;
  },

  // Write the number of the class inside each region.
  drawNumbers(canvas, anchors, size) {
    const context = canvas.getContext("2d");
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = Math.max(2, size / 4);
    context.strokeStyle = "rgba(0, 0, 0, .85)";
    context.fillStyle = "#fff";
    for (const [label, x, y] of anchors) {
      if (!USSEG.labelMaps.resultColor(label) || USSEG.names.name(label) === "background") continue;
      const place = [x * canvas.width, y * canvas.height];
      context.strokeText(USSEG.names.number(label), ...place);
      context.fillText(USSEG.names.number(label), ...place);
    }
  },

  // Black or white, whichever can be read on a colour (WCAG 2.2, relative luminance).
  ink(color) {
    const light = USSEG.labelMaps.rgb(color).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    const luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
    return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000" : "#fff";
  },
};
