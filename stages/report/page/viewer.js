// The viewer of one photo: zoom by wheel, layers, outlines, before/after swipe, the value under the pointer, keyboard.
"use strict";
USSEG.viewer = {
  image: null,
  images: [],
  layers: {},
  overlays: [],

  build() {
    const { viewer, one } = USSEG;
    viewer.dialog = one("viewer");
    one("viewer-close").onclick = () => viewer.close();
    one("viewer-next").onclick = () => viewer.step(1);
    one("viewer-prev").onclick = () => viewer.step(-1);
    one("viewer-layer").onchange = (event) => USSEG.state.set({ layer: event.target.value });
    one("viewer-outlines").onchange = (event) => USSEG.state.set({ outlines: event.target.checked ? "1" : "" });
    one("viewer-swipe").onchange = (event) => USSEG.state.set({ swipe: event.target.checked ? "50" : "" });
    one("swipe").oninput = (event) => USSEG.state.set({ swipe: event.target.value });
    one("viewer-opacity").oninput = (event) => USSEG.state.set({ opacity: event.target.value });
    viewer.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      viewer.close();
    });
    viewer.dialog.addEventListener("keydown", (event) => viewer.keyed(event));
    one("viewer-stage").addEventListener("pointermove", (event) => viewer.point(event));
    one("viewer-stage").addEventListener("pointerleave", () => {
      one("viewer-value").textContent = "";
    });
    USSEG.state.listeners.push((changed) => {
      if (changed.has("image")) viewer.follow();
      else if (viewer.image && ["layer", "outlines", "clusters"].some((name) => changed.has(name))) viewer.draw();
      viewer.controls();
    });
    USSEG.names.listeners.push(() => {
      if (viewer.image) viewer.draw();
    });
  },

  open(image, images) {
    USSEG.viewer.images = images;
    USSEG.state.set({ image: image.key });
  },

  close() {
    USSEG.state.set({ image: "" });
  },

  step(by) {
    const { images, image } = USSEG.viewer;
    const next = images[images.indexOf(image) + by];
    if (next) USSEG.state.set({ image: next.key });
  },

  // Show the image that the state names.
  async follow() {
    const { viewer, one } = USSEG;
    const key = USSEG.state.get("image");
    const image = USSEG.byKey.get(key);
    if (!image) {
      if (key) USSEG.say(`The link names the photo ${key}, which this page does not have.`, "warning");
      viewer.image = null;
      viewer.sea?.destroy();
      viewer.sea = null;
      if (viewer.dialog.open) viewer.dialog.close();
      return;
    }
    viewer.image = image;
    if (!viewer.images.includes(image)) viewer.images = USSEG.state.images();
    if (!viewer.images.includes(image)) viewer.images = [image];
    if (!viewer.dialog.open) {
      viewer.dialog.showModal();
      one("viewer-stage").focus();
    }
    const place = viewer.images.indexOf(image);
    one("viewer-title").textContent = image.id;
    one("viewer-place").textContent =
      `${place + 1} of ${viewer.images.length} · ${image.split} · ${image.size[1]} × ${image.size[0]} pixels`;
    one("viewer-prev").disabled = place === 0;
    one("viewer-next").disabled = place === viewer.images.length - 1;
    one("viewer-stage").setAttribute("aria-label", USSEG.grid.description(image));
    one("viewer-value").textContent = "";
    viewer.sea?.destroy();
    viewer.ready = false;
    viewer.sea = OpenSeadragon({
      element: one("viewer-stage"),
      showNavigationControl: false,
      animationTime: 0.3,
      drawer: "canvas",
      maxZoomPixelRatio: 16,
      visibilityRatio: 0.5,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      tileSources: { type: "image", url: USSEG.photo(image), buildPyramid: false },
      crossOriginPolicy: false,
    });
    viewer.sea.addHandler("open", () => {
      viewer.ready = true;
      if (viewer.image === image) viewer.draw();
    });
    viewer.sea.addHandler("open-failed", () => USSEG.say(`${USSEG.photo(image)} cannot be loaded.`, "warning"));
    viewer.sea.addHandler("update-viewport", () => viewer.clip());
    viewer.controls();
  },

  // Put the chosen layer, its outlines and its numbers over the photo.
  async draw() {
    const { viewer } = USSEG;
    const { image, sea } = viewer;
    const layers = await USSEG.loadBlock("layers", image);
    const map = await USSEG.loadBlock("maps", image);
    for (const layer of Object.values(layers)) if (layer.data) await USSEG.labelMaps.unpack(layer);
    if (viewer.image !== image || viewer.sea !== sea || !viewer.ready) return;
    viewer.layers = layers;
    viewer.fillLayers(layers);
    const name =
      layers[USSEG.state.get("layer")] || USSEG.state.get("layer") === "none" ? USSEG.state.get("layer") : "map";
    const shown = layers[name];
    const made = [];
    if (shown) {
      const canvas = await USSEG.viewerLayers.canvas(name, shown, image);
      canvas.classList.add("fill");
      made.push([canvas, shown.place]);
      if (name === "map" && USSEG.labelMaps.numbered()) made.push([viewer.numbers(map), null]);
    }
    const edges = shown && shown.labels && name !== "uncertainty" ? shown : layers.map;
    if (USSEG.state.get("outlines")) {
      const canvas = USSEG.element("canvas", { class: "layer", "aria-hidden": "true" });
      const value =
        edges === layers.map && USSEG.project.clusters.length ? (label) => USSEG.names.name(label) : (label) => label;
      USSEG.labelMaps.outline(canvas, edges, edges.labels, value);
      made.push([canvas, edges.place]);
    }
    if (viewer.sea !== sea) return;
    for (const canvas of viewer.overlays) sea.removeOverlay(canvas);
    const ratio = image.size[0] / image.size[1];
    viewer.overlays = made.map(([canvas]) => canvas);
    for (const [canvas, place] of made) {
      const [x, y, w, h] = place || [0, 0, 1, 1];
      sea.addOverlay({ element: canvas, location: new OpenSeadragon.Rect(x, y * ratio, w, h * ratio) });
    }
    viewer.clip();
    viewer.dialog.dataset.shown = `${image.key} ${name}`;
  },

  numbers(map) {
    const canvas = USSEG.element("canvas", { class: "layer", "aria-hidden": "true" });
    canvas.width = 1024;
    canvas.height = Math.round((1024 * map.h) / map.w);
    USSEG.labelMaps.drawNumbers(canvas, map.anchors, 26);
    return canvas;
  },

  fillLayers(layers) {
    const names = [...Object.keys(USSEG.viewerLayers.titles).filter((name) => layers[name]), "none"];
    const select = USSEG.one("viewer-layer");
    select.replaceChildren(
      ...names.map((name) => USSEG.element("option", { value: name, text: USSEG.viewerLayers.titles[name] })),
    );
    select.value = names.includes(USSEG.state.get("layer")) ? USSEG.state.get("layer") : "map";
  },

  controls() {
    const { one, state } = USSEG;
    one("viewer-outlines").checked = state.get("outlines") !== "";
    one("viewer-swipe").checked = state.get("swipe") !== "";
    one("swipe").hidden = state.get("swipe") === "";
    one("swipe").value = state.get("swipe") || 50;
    one("viewer-opacity").value = state.get("opacity");
    if (USSEG.viewer.sea) USSEG.viewer.clip();
  },

  // With the swipe, layers are seen at its right only, and there they hide the photo.
  clip() {
    const { viewer } = USSEG;
    const swipe = USSEG.state.get("swipe");
    viewer.dialog.classList.toggle("swiping", swipe !== "");
    const stage = USSEG.one("viewer-stage").getBoundingClientRect();
    const border = stage.left + (stage.width * Number(swipe || 0)) / 100;
    USSEG.one("viewer-border").style.left = `${swipe}%`;
    for (const canvas of viewer.overlays) {
      const box = canvas.getBoundingClientRect();
      canvas.style.clipPath = swipe === "" ? "" : `inset(0 0 0 ${Math.max(0, border - box.left)}px)`;
    }
  },

  point(event) {
    const { viewer } = USSEG;
    if (!viewer.sea || !viewer.ready || !viewer.layers.map) return;
    const stage = USSEG.one("viewer-stage").getBoundingClientRect();
    const place = viewer.sea.viewport.pointFromPixel(
      new OpenSeadragon.Point(event.clientX - stage.left, event.clientY - stage.top),
    );
    const y = place.y / (viewer.image.size[0] / viewer.image.size[1]);
    USSEG.one("viewer-value").textContent = USSEG.viewerLayers.text(
      viewer.layers,
      USSEG.state.get("layer"),
      place.x,
      y,
    );
  },

  keyed(event) {
    const { viewer, state } = USSEG;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "SELECT"].includes(event.target.tagName) && event.target.type !== "checkbox";
    const zoom = (factor) => {
      viewer.sea?.viewport.zoomBy(factor);
      viewer.sea?.viewport.applyConstraints();
    };
    const layers = [...USSEG.one("viewer-layer").options].map((option) => option.value);
    const actions = {
      ArrowRight: () => viewer.step(1),
      ArrowLeft: () => viewer.step(-1),
      "+": () => zoom(1.4),
      "=": () => zoom(1.4),
      "-": () => zoom(1 / 1.4),
      0: () => viewer.sea?.viewport.goHome(),
      o: () => state.set({ outlines: state.get("outlines") ? "" : "1" }),
      s: () => state.set({ swipe: state.get("swipe") ? "" : "50" }),
      l: () => state.set({ layer: layers[(layers.indexOf(USSEG.one("viewer-layer").value) + 1) % layers.length] }),
    };
    if (event.key === "Escape") {
      event.preventDefault();
      viewer.close();
      return;
    }
    if (typing || !actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  },
};
