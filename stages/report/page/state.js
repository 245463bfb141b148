// The view: what is filtered, sorted and opened. The part of the address after # holds it, so that a link restores it.
"use strict";
USSEG.state = {
  defaults: {
    clusters: "",
    split: "",
    folder: "",
    sort: "name",
    opacity: "55",
    image: "",
    layer: "map",
    outlines: "",
    swipe: "",
    cluster: "",
    view: "",
  },
  values: {},
  listeners: [],

  read() {
    const given = new URLSearchParams(location.hash.slice(1));
    USSEG.state.values = { ...USSEG.state.defaults };
    for (const name in USSEG.state.defaults) if (given.has(name)) USSEG.state.values[name] = given.get(name);
  },

  get(name) {
    return USSEG.state.values[name];
  },

  // Change values and tell all listeners the names of those that differ from before.
  set(changes) {
    const changed = Object.keys(changes).filter((name) => USSEG.state.values[name] !== String(changes[name]));
    if (!changed.length) return;
    for (const name of changed) USSEG.state.values[name] = String(changes[name]);
    const kept = new URLSearchParams();
    for (const [name, value] of Object.entries(USSEG.state.values)) {
      if (value !== USSEG.state.defaults[name]) kept.set(name, value);
    }
    const hash = `#${kept}`;
    if (hash !== location.hash && !(hash === "#" && !location.hash)) {
      USSEG.state.own = hash;
      history.replaceState(null, "", hash === "#" ? location.pathname + location.search : hash);
    }
    USSEG.state.tell(changed);
  },

  tell(changed) {
    for (const listener of USSEG.state.listeners) listener(new Set(changed));
  },

  // The user has changed the address or gone back.
  follow() {
    const before = USSEG.state.values;
    USSEG.state.read();
    USSEG.state.tell(Object.keys(before).filter((name) => before[name] !== USSEG.state.values[name]));
  },

  // Labels of the clusters that the user filters by.
  chosenClusters() {
    return new Set(USSEG.state.get("clusters").split(",").filter(Boolean).map(Number));
  },

  toggleCluster(labels) {
    const chosen = USSEG.state.chosenClusters();
    const all = labels.every((label) => chosen.has(label));
    for (const label of labels) all ? chosen.delete(label) : chosen.add(label);
    USSEG.state.set({ clusters: [...chosen].sort((a, b) => a - b).join(",") });
  },

  // The images of the grid, filtered and sorted.
  images() {
    const { get } = USSEG.state;
    const chosen = [...USSEG.state.chosenClusters()];
    const found = USSEG.images.filter(
      (image) =>
        (!get("split") || image.split === get("split")) &&
        (!get("folder") || image.folder === get("folder") || image.folder.startsWith(`${get("folder")}/`)) &&
        (!chosen.length || chosen.some((label) => image.pixels[label])),
    );
    const share = (image) => chosen.reduce((sum, label) => sum + (image.pixels[label] || 0), 0) / image.total;
    const largest = (image) =>
      Math.max(
        0,
        ...Object.entries(image.pixels)
          .filter(([label]) => label !== "0")
          .map(([, count]) => count),
      ) / image.total;
    const byName = (a, b) => (a.split === b.split ? a.i - b.i : USSEG.images.indexOf(a) - USSEG.images.indexOf(b));
    if (get("sort") === "share") {
      const value = new Map(found.map((image) => [image, chosen.length ? share(image) : largest(image)]));
      found.sort((a, b) => value.get(b) - value.get(a));
    } else if (get("sort") === "uncertainty") {
      found.sort((a, b) => (a.certainty ?? 2) - (b.certainty ?? 2));
    } else if (get("sort") === "certainty") {
      found.sort((a, b) => (b.certainty ?? -1) - (a.certainty ?? -1));
    }
    return found;
  },
};
