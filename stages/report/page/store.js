// The data of the page. Scripts of the folder `page` call setProject, addFacts, addMaps, addLayers and addExamples.
"use strict";
window.USSEG = {
  project: null,
  images: [], // facts of every image: {key, split, i, id, folder, size, pixels, certainty}
  byKey: new Map(), // "train/12" -> facts
  maps: new Map(),
  layers: new Map(),
  examples: new Map(),
  loading: new Map(), // path of a script -> Promise

  setProject(project) {
    USSEG.project = project;
  },

  addFacts(split, facts) {
    for (const image of facts) {
      image.split = split;
      image.key = `${split}/${image.i}`;
      const cut = image.id.lastIndexOf("/");
      image.folder = cut < 0 ? "" : image.id.slice(0, cut);
      image.total = image.size[0] * image.size[1];
      USSEG.byKey.set(image.key, image);
      USSEG.images.push(image);
    }
  },

  addMaps(split, maps) {
    for (const i in maps) USSEG.maps.set(`${split}/${i}`, maps[i]);
  },
  addLayers(split, layers) {
    for (const i in layers) USSEG.layers.set(`${split}/${i}`, layers[i]);
  },
  addExamples(label, examples) {
    USSEG.examples.set(label, examples);
  },

  // Load a script once. The Promise is rejected if there is no such file.
  load(path) {
    if (!USSEG.loading.has(path)) {
      USSEG.loading.set(
        path,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = path;
          script.onload = resolve;
          script.onerror = () => {
            USSEG.loading.delete(path);
            reject(new Error(`cannot load ${path}`));
          };
          document.head.append(script);
        }),
      );
    }
    return USSEG.loading.get(path);
  },

  // Path of a script of the block that holds an image; `kind` is facts, maps or layers.
  blockPath(kind, split, first) {
    return `page/${kind}/${encodeURIComponent(split)}-${String(first).padStart(6, "0")}.js`;
  },

  async loadBlock(kind, image) {
    const { blocks } = USSEG.project.splits.find((one) => one.name === image.split);
    const [first] = blocks.find(([, last]) => image.i <= last);
    await USSEG.load(USSEG.blockPath(kind, image.split, first));
    return USSEG[kind].get(image.key);
  },

  photo(image) {
    return `page/photos/${encodeURIComponent(image.split)}/${String(image.i).padStart(6, "0")}.jpg`;
  },

  thumbnail(image) {
    const small = Math.max(...image.size) <= USSEG.project.thumb;
    return small ? USSEG.photo(image) : USSEG.photo(image).replace("page/photos/", "page/thumbs/");
  },

  // Create an element. Text is always text: nothing here reads HTML.
  element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "text") made.textContent = value;
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  },

  one(id) {
    return document.getElementById(id);
  },

  say(text, kind = "note") {
    const line = USSEG.one("message");
    line.textContent = text;
    line.dataset.kind = kind;
    line.hidden = !text;
  },

  percent(share) {
    if (share === 0) return "0 %";
    return share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  },
};
