// The page of a cluster: crops of its segments, the most typical first, then the most doubtful.
"use strict";
USSEG.clusterPage = {
  build() {
    USSEG.one("cluster-close").onclick = () => USSEG.state.set({ cluster: "" });
    USSEG.one("cluster-page").addEventListener("cancel", (event) => {
      event.preventDefault();
      USSEG.state.set({ cluster: "" });
    });
    USSEG.state.listeners.push((changed) => {
      if (changed.has("cluster")) USSEG.clusterPage.follow();
    });
    USSEG.names.listeners.push(() => USSEG.clusterPage.title());
  },

  cluster() {
    const label = Number(USSEG.state.get("cluster"));
    return USSEG.project.clusters.find((cluster) => cluster.label === label);
  },

  title() {
    const cluster = USSEG.clusterPage.cluster();
    if (!cluster) return;
    const color = USSEG.names.color(cluster.label);
    const number = USSEG.one("cluster-number");
    number.textContent = cluster.label;
    number.style.background = color;
    number.style.color = USSEG.labelMaps.ink(color);
    USSEG.one("cluster-title").textContent = USSEG.names.name(cluster.label);
  },

  async follow() {
    const dialog = USSEG.one("cluster-page");
    const cluster = USSEG.clusterPage.cluster();
    if (!cluster) {
      if (dialog.open) dialog.close();
      return;
    }
    USSEG.clusterPage.title();
    const body = USSEG.one("cluster-examples");
    body.replaceChildren(USSEG.element("p", { class: "soft", text: "loading" }));
    if (!dialog.open) dialog.showModal();
    if (!cluster.examples) {
      USSEG.clusterPage.photos(cluster, body);
      return;
    }
    try {
      await USSEG.load(`page/examples/${cluster.label}.js`);
    } catch (error) {
      USSEG.clusterPage.photos(cluster, body);
      return;
    }
    if (USSEG.clusterPage.cluster() !== cluster) return;
    const { typical, doubtful, count, split } = USSEG.examples.get(cluster.label);
    const parts = [
      USSEG.element("p", {
        class: "soft",
        text:
          `${count} segments in ${split}; ${typical.length + doubtful.length} are shown, each with an outline. ` +
          "The number is the margin between the two nearest centres: 0 undecided, 1 on the centre.",
      }),
    ];
    for (const [title, examples] of [
      ["most typical", typical],
      ["most doubtful", doubtful],
    ]) {
      if (!examples.length) continue;
      parts.push(USSEG.element("h3", { text: title }));
      parts.push(
        USSEG.element(
          "ul",
          { class: "crops" },
          ...examples.map((example) => USSEG.clusterPage.crop(split, example, title)),
        ),
      );
    }
    body.replaceChildren(...parts);
  },

  crop(split, { i, margin, picture }, title) {
    const image = USSEG.byKey.get(`${split}/${i}`);
    const name = image ? image.id : `photo ${i} of ${split}`;
    return USSEG.element(
      "li",
      {},
      USSEG.element(
        "button",
        {
          type: "button",
          class: "crop",
          title: name,
          disabled: !image,
          onclick: () => USSEG.state.set({ cluster: "", image: image.key }),
        },
        USSEG.element("img", {
          src: picture,
          width: 192,
          height: 192,
          alt: `${title} segment, in ${name}`,
          loading: "lazy",
        }),
        USSEG.element("span", { class: "caption", text: name }),
        USSEG.element("span", { class: "facts", text: margin.toFixed(2) }),
      ),
    );
  },

  // Without segments: the photos with the largest share of the cluster.
  photos({ label }, body) {
    const share = (image) => (image.pixels[label] || 0) / image.total;
    const found = USSEG.images
      .filter((image) => image.pixels[label])
      .sort((a, b) => share(b) - share(a))
      .slice(0, 48);
    body.replaceChildren(
      USSEG.element("p", {
        class: "soft",
        text: "There are no examples of segments. These photos have the largest share of the cluster.",
      }),
      USSEG.element(
        "ul",
        { class: "crops" },
        ...found.map((image) =>
          USSEG.element(
            "li",
            {},
            USSEG.element(
              "button",
              {
                type: "button",
                class: "crop",
                onclick: () => USSEG.state.set({ cluster: "", image: image.key }),
              },
              USSEG.element("img", {
                src: USSEG.thumbnail(image),
                alt: USSEG.grid.description(image),
                loading: "lazy",
              }),
              USSEG.element("span", { class: "caption", text: image.id }),
              USSEG.element("span", { class: "facts", text: USSEG.percent(share(image)) }),
            ),
          ),
        ),
      ),
    );
  },
};
