// The layers of the viewer: canvases over the photo, each at its place, and the value under the pointer.
"use strict";
USSEG.viewerLayers = {
  titles: {
    map: "result",
    segments: "segments",
    eigenvectors: "eigenvectors 2 to 4",
    uncertainty: "certainty",
    truth: "ground truth",
    none: "photo only",
  },

  // Colours of a layer by label.
  color(name, layer) {
    const { segmentColors, classes, void: nothing, background } = USSEG.project;
    const segment = (label) => (label < 0 ? nothing : segmentColors[label % segmentColors.length]);
    if (name === "map") return USSEG.labelMaps.resultColor;
    if (name === "uncertainty") return (percent) => (percent < 0 ? null : USSEG.viewerLayers.scale(percent / 100));
    if (name === "segments" || layer.kind === "objects") {
      return (label) => (label === 0 ? background : segment(label - 1 < 0 ? -1 : label - 1));
    }
    if (layer.kind === "regions") return segment;
    return (label) => classes[label]?.color ?? nothing;
  },

  // Dark blue (undecided) over green to yellow (certain): lightness rises with the value.
  scale(value) {
    const stops = [
      [38, 20, 90],
      [40, 120, 140],
      [240, 230, 90],
    ];
    const place = Math.min(1.999, Math.max(0, value * 2));
    const [from, to] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
    const mixed = from.map((part, k) => Math.round(part + (to[k] - part) * (place % 1)));
    return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  },

  // The canvas of a layer.
  async canvas(name, layer, image) {
    const canvas = USSEG.element("canvas", { class: "layer", "aria-hidden": "true" });
    if (layer.picture) {
      const picture = new Image();
      picture.src = layer.picture;
      await picture.decode();
      canvas.width = picture.naturalWidth;
      canvas.height = picture.naturalHeight;
      canvas.getContext("2d").drawImage(picture, 0, 0);
    } else if (layer.kind === "boxes") {
      const side = 1024 / Math.max(...image.size);
      canvas.height = Math.round(image.size[0] * side);
      canvas.width = Math.round(image.size[1] * side);
      const context = canvas.getContext("2d");
      for (const [color, width] of [
        ["#111", 8],
        ["#ffd200", 4],
      ]) {
        context.strokeStyle = color;
        context.lineWidth = width;
        for (const [x0, y0, x1, y1] of layer.boxes) {
          context.strokeRect(
            x0 * canvas.width,
            y0 * canvas.height,
            (x1 - x0) * canvas.width,
            (y1 - y0) * canvas.height,
          );
        }
      }
    } else {
      const labels = await USSEG.labelMaps.unpack(layer);
      USSEG.labelMaps.paint(canvas, layer, labels, USSEG.viewerLayers.color(name, layer));
    }
    return canvas;
  },

  // The value of a layer at a position, given as shares of the photo's width and height; null outside.
  at(layer, x, y) {
    if (!layer || !layer.labels) return null;
    const [left, top, width, height] = layer.place || [0, 0, 1, 1];
    const column = Math.floor(((x - left) / width) * layer.w);
    const row = Math.floor(((y - top) / height) * layer.h);
    return column < 0 || row < 0 || column >= layer.w || row >= layer.h ? null : layer.labels[row * layer.w + column];
  },

  // What is under the pointer, such as "3 grass, 0.82".
  text(layers, shown, x, y) {
    const label = USSEG.viewerLayers.at(layers.map, x, y);
    if (label === null) return "";
    const named = USSEG.project.clusters.length > 0;
    let text =
      label < 0 ? "no label" : `${label} ${named ? USSEG.names.name(label) : label ? "segment" : "background"}`;
    const percent = USSEG.viewerLayers.at(layers.uncertainty, x, y);
    if (percent !== null && percent >= 0 && label > 0) text += `, ${(percent / 100).toFixed(2)}`;
    const segment = shown === "segments" ? USSEG.viewerLayers.at(layers.segments, x, y) : null;
    if (segment !== null) text += ` · segment ${segment}`;
    const truth = USSEG.viewerLayers.at(layers.truth, x, y);
    if (truth !== null && layers.truth.kind === "classes") {
      text += ` · truth: ${truth < 0 ? "not scored" : (USSEG.project.classes[truth]?.name ?? truth)}`;
    }
    return text;
  },
};
