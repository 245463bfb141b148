// The bar of clusters: colour, number, editable name, share of pixels, images. Drag a chip onto another to merge them.
"use strict";
USSEG.clusterBar = {
  shares: new Map(), // label -> {pixels, images}
  pixels: 0,

  count() {
    const { shares } = USSEG.clusterBar;
    for (const image of USSEG.images) {
      USSEG.clusterBar.pixels += image.total;
      for (const [label, pixels] of Object.entries(image.pixels)) {
        const sum = shares.get(Number(label)) || { pixels: 0, images: 0 };
        sum.pixels += pixels;
        sum.images += 1;
        shares.set(Number(label), sum);
      }
    }
  },

  build() {
    USSEG.clusterBar.count();
    const { element } = USSEG;
    const list = USSEG.one("clusters");
    for (const { label, matched, examples } of USSEG.project.clusters) {
      const { pixels, images } = USSEG.clusterBar.shares.get(label) || { pixels: 0, images: 0 };
      const share = USSEG.percent(pixels / Math.max(1, USSEG.clusterBar.pixels));
      const chip = element(
        "li",
        { class: "chip", "data-testid": "cluster-chip", "data-label": label, draggable: "true" },
        element("button", {
          class: "number",
          type: "button",
          text: label,
          title: "show only photos with this cluster",
          onclick: () => USSEG.state.toggleCluster(USSEG.names.members(label)),
        }),
        element("input", {
          "data-testid": "cluster-name",
          class: "name",
          type: "text",
          maxlength: 120,
          list: "known-names",
          "aria-label": `name of cluster ${label}`,
          placeholder: `cluster ${label}`,
          spellcheck: "false",
          autocomplete: "off",
          onchange: (event) => USSEG.clusterBar.typed(label, event.target),
          onkeydown: (event) => USSEG.clusterBar.keyed(event, label),
          onpointerdown: () => {
            chip.draggable = false;
          },
          onblur: () => {
            chip.draggable = true;
          },
        }),
        element("button", {
          class: "more",
          type: "button",
          text: "examples",
          "aria-label": `examples of cluster ${label}`,
          onclick: () => USSEG.state.set({ cluster: label }),
          hidden: !examples && !images,
        }),
        element("span", {
          class: "facts",
          text:
            `${share} · ${images} photo${images === 1 ? "" : "s"}` +
            (matched === null ? "" : ` · scored as ${matched}`),
        }),
      );
      USSEG.clusterBar.addDragging(chip, label);
      list.append(chip);
    }
    USSEG.clusterBar.refresh();
  },

  typed(label, input) {
    try {
      USSEG.names.rename({ [label]: input.value });
    } catch (error) {
      USSEG.say(`${error.message}: “${input.value.slice(0, 40)}” is not taken.`, "warning");
      input.value = USSEG.names.names[label] || "";
    }
  },

  keyed(event, label) {
    if (event.key === "Enter") event.target.blur();
    if (event.key === "Escape") {
      event.target.value = USSEG.names.names[label] || "";
      event.target.blur();
    }
    event.stopPropagation();
  },

  addDragging(chip, label) {
    chip.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("text/x-usseg-label", String(label));
      event.dataTransfer.setData("text/plain", String(label));
      event.dataTransfer.effectAllowed = "move";
    });
    chip.addEventListener("dragover", (event) => {
      event.preventDefault();
      chip.classList.add("target");
    });
    chip.addEventListener("dragleave", () => chip.classList.remove("target"));
    chip.addEventListener("drop", (event) => {
      event.preventDefault();
      chip.classList.remove("target");
      const given = event.dataTransfer.getData("text/x-usseg-label") || event.dataTransfer.getData("text/plain");
      const dragged = Number(given);
      if (!given || dragged === label || !USSEG.project.clusters.some((one) => one.label === dragged)) return;
      USSEG.names.merge(dragged, label);
    });
  },

  // Colours, names and the filter have changed.
  refresh() {
    if (!USSEG.project.clusters.length) return;
    const chosen = USSEG.state.chosenClusters();
    for (const chip of USSEG.one("clusters").children) {
      const label = Number(chip.dataset.label);
      const color = USSEG.names.color(label);
      const number = chip.querySelector(".number");
      number.style.background = color;
      number.style.color = USSEG.labelMaps.ink(color);
      number.setAttribute("aria-pressed", chosen.has(label));
      number.setAttribute("aria-label", `filter by ${USSEG.names.name(label)}, cluster ${label}`);
      chip.classList.toggle("chosen", chosen.has(label));
      const group = USSEG.names.members(label);
      chip.classList.toggle("merged", group.length > 1);
      chip.title =
        group.length > 1 ? `one class with cluster ${group.filter((one) => one !== label).join(", ")}` : "";
      const input = chip.querySelector("input");
      if (input !== document.activeElement) input.value = USSEG.names.names[label] || "";
    }
    const known = [...new Set(Object.values(USSEG.names.names))].sort();
    USSEG.one("known-names").replaceChildren(...known.map((name) => USSEG.element("option", { value: name })));
  },
};
