// The grid of all photos. Only the rows that can be seen are in the document, so 10,000 photos are as quick as 10.
"use strict";
USSEG.grid = {
  images: [],
  items: new Map(), // place in `images` -> its element
  focused: 0,
  extra: 2, // rows above and below the window

  build() {
    const { grid } = USSEG;
    grid.list = USSEG.one("grid");
    const update = () => {
      if (!grid.waiting)
        grid.waiting = requestAnimationFrame(() => {
          grid.waiting = 0;
          grid.draw();
        });
    };
    addEventListener("scroll", update, { passive: true });
    new ResizeObserver(() => {
      grid.clear();
      update();
    }).observe(grid.list);
    grid.list.addEventListener("keydown", (event) => grid.keyed(event));
  },

  // Columns, and the width and height of an item with its gap, pixels.
  measures() {
    const width = USSEG.grid.list.clientWidth;
    const columns = Math.max(1, Math.floor(width / 210));
    const item = width / columns;
    return { columns, width: item, height: Math.round(item * 0.72) + 50 };
  },

  show(images) {
    USSEG.grid.images = images;
    USSEG.grid.focused = 0;
    USSEG.grid.clear();
    USSEG.grid.draw();
    const total = USSEG.images.length;
    USSEG.one("count").textContent =
      images.length === total
        ? `${total.toLocaleString("en")} photos`
        : `${images.length.toLocaleString("en")} of ${total.toLocaleString("en")} photos`;
    USSEG.one("nothing").hidden = images.length > 0;
  },

  clear() {
    USSEG.grid.items.clear();
    USSEG.grid.list.replaceChildren();
  },

  draw() {
    const { grid } = USSEG;
    const { columns, width, height } = grid.measures();
    const rows = Math.ceil(grid.images.length / columns);
    grid.list.style.height = `${rows * height}px`;
    const top = -grid.list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / height) - grid.extra);
    const last = Math.min(rows, Math.ceil((top + innerHeight) / height) + grid.extra);
    const [from, to] = [first * columns, Math.min(last * columns, grid.images.length)];
    for (const [place, item] of grid.items) {
      if ((place < from || place >= to) && !item.contains(document.activeElement)) {
        item.remove();
        grid.items.delete(place);
      }
    }
    for (let place = from; place < to; place += 1) {
      if (grid.items.has(place)) continue;
      const item = grid.item(grid.images[place], place);
      item.style.left = `${(place % columns) * width}px`;
      item.style.top = `${Math.floor(place / columns) * height}px`;
      item.style.width = `${width}px`;
      item.style.height = `${height}px`;
      const next = [...grid.items.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
      grid.list.insertBefore(item, next === undefined ? null : grid.items.get(next));
      grid.items.set(place, item);
    }
  },

  item(image, place) {
    const { element } = USSEG;
    const canvas = element("canvas", { "aria-hidden": "true" });
    const numbers = element("canvas", { class: "numbers", "aria-hidden": "true" });
    const certainty = image.certainty === null ? "" : `certainty ${image.certainty.toFixed(2)}`;
    const item = element(
      "li",
      { class: "cell" },
      element(
        "button",
        {
          type: "button",
          class: "item",
          "data-testid": "grid-item",
          "data-id": image.id,
          "data-split": image.split,
          tabindex: place === USSEG.grid.focused ? 0 : -1,
          onclick: () => USSEG.viewer.open(image, USSEG.grid.images),
          onfocus: () => USSEG.grid.move(place),
        },
        element(
          "span",
          { class: "frame" },
          element("img", { src: USSEG.thumbnail(image), alt: USSEG.grid.description(image), decoding: "async" }),
          canvas,
          numbers,
        ),
        element("span", { class: "caption", text: image.id }),
        element("span", { class: "facts", text: [USSEG.grid.largest(image), certainty].filter(Boolean).join(" · ") }),
      ),
    );
    item.usseg = { image, canvas, numbers };
    USSEG.grid.paint(item);
    return item;
  },

  async paint(item) {
    const { image, canvas, numbers } = item.usseg;
    const map = await USSEG.loadBlock("maps", image);
    const labels = await USSEG.labelMaps.unpack(map);
    USSEG.labelMaps.paint(canvas, map, labels, USSEG.labelMaps.resultColor);
    if (!USSEG.labelMaps.numbered()) return;
    numbers.width = 320;
    numbers.height = Math.round((320 * map.h) / map.w);
    USSEG.labelMaps.drawNumbers(numbers, map.anchors, 18);
  },

  // Names and shares of the three largest classes.
  classes(image) {
    const sums = new Map();
    for (const [label, pixels] of Object.entries(image.pixels)) {
      const name = USSEG.project.clusters.length ? USSEG.names.name(Number(label)) : `segment ${label}`;
      if (label !== "0") sums.set(name, (sums.get(name) || 0) + pixels / image.total);
    }
    return [...sums]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 3)
      .map(([name, share]) => `${name} ${USSEG.percent(share)}`);
  },

  largest(image) {
    return USSEG.grid.classes(image)[0] || "background only";
  },

  description(image) {
    return `photo ${image.id}: ${USSEG.grid.classes(image).join(", ") || "background only"}`;
  },

  repaint() {
    for (const item of USSEG.grid.items.values()) {
      USSEG.grid.paint(item);
      const { image } = item.usseg;
      item.querySelector("img").alt = USSEG.grid.description(image);
      const certainty = image.certainty === null ? "" : `certainty ${image.certainty.toFixed(2)}`;
      item.querySelector(".facts").textContent = [USSEG.grid.largest(image), certainty].filter(Boolean).join(" · ");
    }
  },

  move(place) {
    USSEG.grid.items.get(USSEG.grid.focused)?.querySelector("button").setAttribute("tabindex", -1);
    USSEG.grid.focused = place;
    USSEG.grid.items.get(place)?.querySelector("button").setAttribute("tabindex", 0);
  },

  keyed(event) {
    const { columns, height } = USSEG.grid.measures();
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const last = USSEG.grid.images.length - 1;
    let place = { Home: 0, End: last }[event.key];
    if (steps[event.key]) place = USSEG.grid.focused + steps[event.key];
    if (place === undefined || place < 0 || place > last) return;
    event.preventDefault();
    const top = USSEG.grid.list.getBoundingClientRect().top + Math.floor(place / columns) * height;
    const bar = USSEG.one("toolbar").getBoundingClientRect().bottom;
    if (top < bar) scrollBy(0, top - Math.max(0, bar) - 8);
    else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight + 8);
    USSEG.grid.draw();
    USSEG.grid.items.get(place)?.querySelector("button").focus({ preventScroll: true });
  },
};
