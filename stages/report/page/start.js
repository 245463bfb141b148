// Start the page: load the facts of all images and the names, fill the head and the toolbar, and show the view.
"use strict";
USSEG.start = {
  // From file:// the address names the project folder: PROJECT/report/index.html.
  projectName() {
    if (window.USSEG_PROJECT) return window.USSEG_PROJECT;
    if (location.protocol !== "file:") return "usseg";
    try {
      return decodeURIComponent(location.pathname.split("/").at(-3)) || "usseg";
    } catch (error) {
      return "usseg";
    }
  },

  head() {
    const name = USSEG.start.projectName();
    USSEG.one("title").textContent = name;
    document.title = name === "usseg" ? "usseg" : `${name} · usseg`;
    USSEG.one("date").textContent = new Date(document.lastModified).toISOString().slice(0, 10);
  },

  toolbar() {
    const { one, state, element } = USSEG;
    for (const { name, count, shown } of USSEG.project.splits) {
      const text = count === shown ? `${name} (${count})` : `${name} (${shown} of ${count})`;
      one("split").append(element("option", { value: name, text }));
    }
    const folders = new Set();
    for (const image of USSEG.images) {
      const parts = image.folder.split("/");
      for (let depth = 1; image.folder && depth <= parts.length; depth += 1)
        folders.add(parts.slice(0, depth).join("/"));
    }
    for (const folder of [...folders].sort())
      one("folder").append(element("option", { value: folder, text: folder }));
    one("split").parentElement.hidden = USSEG.project.splits.length < 2;
    one("folder").parentElement.hidden = folders.size < 2;
    for (const name of ["split", "folder", "sort"]) {
      one(name).onchange = (event) => state.set({ [name]: event.target.value });
    }
    one("opacity").oninput = (event) => state.set({ opacity: event.target.value });
    one("clear").onclick = () => state.set({ clusters: "", split: "", folder: "" });
    if (USSEG.project.clusters.length) one("download").onclick = () => USSEG.names.download();
    if (USSEG.images.every((image) => image.certainty === null)) {
      for (const option of [...one("sort").options])
        if (option.value.endsWith("certainty") || option.value === "uncertainty") option.remove();
    }
  },

  // Bring the controls and the grid to the state.
  show(changed) {
    const { one, state } = USSEG;
    for (const name of ["split", "folder", "sort", "opacity"]) one(name).value = state.get(name);
    document.documentElement.style.setProperty("--opacity", Number(state.get("opacity")) / 100);
    one("opacity-value").textContent = `${state.get("opacity")} %`;
    one("clear").hidden = !["clusters", "split", "folder"].some((name) => state.get(name));
    if (["clusters", "split", "folder", "sort"].some((name) => changed.has(name))) USSEG.grid.show(state.images());
    if (changed.has("clusters")) USSEG.clusterBar.refresh();
  },

  async run() {
    const { state } = USSEG;
    try {
      await USSEG.load("page/project.js");
      const blocks = USSEG.project.splits.flatMap(({ name, blocks: listed }) =>
        listed.map(([first]) => USSEG.blockPath("facts", name, first)),
      );
      await Promise.all(blocks.map((path) => USSEG.load(path)));
    } catch (error) {
      USSEG.say(`${error.message}: the folder report/page is missing or incomplete; run: usseg run`, "warning");
      return;
    }
    const order = USSEG.project.splits.map(({ name }) => name);
    USSEG.images.sort((a, b) => order.indexOf(a.split) - order.indexOf(b.split) || a.i - b.i);
    await USSEG.names.load(); // and the name of the project, where `usseg open` serves the page
    USSEG.start.head();
    USSEG.howMade.build();
    state.read();
    if (USSEG.project.clusters.length) USSEG.clusterBar.build();
    USSEG.start.toolbar();
    USSEG.grid.build();
    USSEG.viewer.build();
    USSEG.clusterPage.build();
    state.listeners.push((changed) => USSEG.start.show(changed));
    USSEG.names.listeners.push(() => {
      USSEG.clusterBar.refresh();
      USSEG.grid.repaint();
    });
    addEventListener("hashchange", () => state.follow());
    state.tell(Object.keys(state.defaults));
    document.documentElement.dataset.ready = "true";
  },
};
USSEG.start.run();
