// Names and colours of clusters. Clusters with equal names are one class; the name `background` puts one to label 0.
"use strict";
USSEG.names = {
  names: {}, // label -> name
  colors: {}, // label -> #rrggbb, chosen in names.yaml
  listeners: [],
  served: false,
  saving: null,

  name(label) {
    if (label === 0) return "background";
    return USSEG.names.names[label] || `cluster ${label}`;
  },

  // Labels with the same name, the lowest first.
  members(label) {
    const name = USSEG.names.name(label);
    const labels = USSEG.project.clusters.map((cluster) => cluster.label);
    return labels.filter((other) => USSEG.names.name(other) === name);
  },

  color(label) {
    if (label === 0 || USSEG.names.name(label) === "background") return USSEG.project.background;
    const group = USSEG.names.members(label);
    const chosen = group.find((other) => USSEG.names.colors[other]);
    if (chosen !== undefined) return USSEG.names.colors[chosen];
    const cluster = USSEG.project.clusters.find((one) => one.label === group[0]);
    if (cluster) return cluster.color;
    const { segmentColors } = USSEG.project;
    return segmentColors[(label - 1) % segmentColors.length];
  },

  // The number that is written on the map: the lowest label of the class.
  number(label) {
    return USSEG.names.members(label)[0] ?? label;
  },

  // A name as it is stored, or an Error that says what is wrong. The rules are those of `usseg name`.
  checked(text) {
    const name = text.normalize("NFC").trim();
    if (name.length > 100) throw new Error("a name has at most 100 characters");
    if (/[:,]/.test(name)) throw new Error("a name has no colon and no comma");
    if (name.startsWith("#")) throw new Error("a name does not begin with #");
    if (/[\p{C}\p{Zl}\p{Zp}]/u.test(name)) throw new Error("a name has printable characters only");
    return name;
  },

  // Rename several clusters at once. An empty name removes one.
  rename(changes) {
    for (const [label, text] of Object.entries(changes)) {
      const name = USSEG.names.checked(text);
      if (name && name !== `cluster ${label}`) USSEG.names.names[label] = name;
      else delete USSEG.names.names[label];
    }
    USSEG.names.tell();
    USSEG.names.save();
  },

  // Give a cluster the name of another one: both are then one class.
  merge(label, target) {
    const name = USSEG.names.name(target);
    USSEG.names.rename({ [label]: name });
    if (!USSEG.names.names[target] && name !== "background") {
      USSEG.names.names[target] = name;
      USSEG.names.tell();
      USSEG.names.save();
    }
  },

  tell() {
    for (const listener of USSEG.names.listeners) listener();
  },

  content() {
    return { clustering: USSEG.project.clustering, names: USSEG.names.names, colors: USSEG.names.colors };
  },

  // Take names that were stored. Those of another clustering are left out, with a line that says so.
  take(content) {
    if (!content || !content.clustering) return;
    if (content.clustering !== USSEG.project.clustering) {
      const count = Object.keys(content.names || {}).length;
      USSEG.say(
        `${count} names belong to another clustering and are left out: ` +
          "the clustering has changed since they were given, and a label may mean something else.",
        "warning",
      );
      return;
    }
    USSEG.names.names = { ...content.names };
    USSEG.names.colors = { ...content.colors };
  },

  // `usseg open` says in served.js whether names can be saved. From another server, and from file://, they cannot.
  async load() {
    if (location.protocol !== "file:") {
      try {
        await USSEG.load("served.js");
        USSEG.names.served = window.USSEG_SERVED === true;
        if (window.USSEG_READ_ONLY) USSEG.say(`Names cannot be saved: ${window.USSEG_READ_ONLY}`, "warning");
      } catch (error) {
        USSEG.names.served = false;
      }
    }
    try {
      await USSEG.load("names.js");
    } catch (error) {
      return; // no names yet
    }
    USSEG.names.take(window.USSEG_NAMES);
  },

  // Save at the server, one request at a time. From file:// nothing is saved; the page says how to keep the names.
  save() {
    if (!USSEG.project.clustering) return;
    if (!USSEG.names.served) {
      if (window.USSEG_READ_ONLY) USSEG.say(`Not saved: ${window.USSEG_READ_ONLY}`, "warning");
      else USSEG.say(
        "The names are in this window only. Download names.yaml and put it next to params.yaml, " +
          "or start the page with: usseg open",
        "note",
      );
      return;
    }
    const send = async () => {
      try {
        const answer = await fetch("api/names", {
          method: "PUT",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(USSEG.names.content()),
        });
        const said = await answer.json();
        if (answer.ok) USSEG.say("Names saved.", "saved");
        else USSEG.say(`Not saved: ${said.error}`, "warning");
      } catch (error) {
        USSEG.say("Not saved: usseg open does not answer. Start it again, or download names.yaml.", "warning");
      }
    };
    USSEG.names.saving = (USSEG.names.saving || Promise.resolve()).then(send);
  },

  yaml() {
    const { clustering, names, colors } = USSEG.names.content();
    const lines = [`clustering: ${clustering}`];
    const add = (title, values) => {
      const entries = Object.entries(values);
      lines.push(entries.length ? `${title}:` : `${title}: {}`);
      for (const [label, value] of entries) lines.push(`  ${label}: ${JSON.stringify(value)}`);
    };
    add("names", names);
    if (Object.keys(colors).length) add("colors", colors);
    return `${lines.join("\n")}\n`;
  },

  download() {
    const link = USSEG.element("a", {
      href: URL.createObjectURL(new Blob([USSEG.names.yaml()], { type: "application/yaml" })),
      download: "names.yaml",
    });
    document.body.append(link);
    link.click();
    link.remove();
  },
};
