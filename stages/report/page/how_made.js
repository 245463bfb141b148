// "How it was made": what `usseg open` knows and equal pages do not hold, the times, versions and recipe.
"use strict";
USSEG.howMade = {
  build() {
    const run = window.USSEG_RUN;
    if (!run) return;
    const { element } = USSEG;
    const total = run.stages.reduce((sum, { seconds }) => sum + seconds, 0);
    const heads = ["stage", "split", "seconds", "device", "finished"];
    const rows = run.stages.map((stage) => {
      const texts = [stage.stage, stage.split, stage.seconds.toFixed(1), stage.device, stage.finished];
      return element("tr", {}, ...texts.map((text) => element("td", { text })));
    });
    const versions = Object.entries(run.versions).map(([name, version]) => `${name} ${version}`);
    USSEG.one("run").replaceChildren(
      element("p", { text: run.recipes.length ? `Recipe: ${run.recipes.join(", ")}` : "Recipe: none, own params" }),
      element("p", { text: `Installed now: ${versions.join(" · ")}` }),
      element(
        "div",
        { class: "scroll" },
        element(
          "table",
          { "data-testid": "stage-times" },
          element("caption", {
            class: "soft small",
            text: `${total.toFixed(1)} seconds in the last runs of all stages`,
          }),
          element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { text, scope: "col" })))),
          element("tbody", {}, ...rows),
        ),
      ),
    );
    const finished = run.stages.map((stage) => stage.finished).sort();
    if (finished.length) USSEG.one("date").textContent = finished.at(-1).slice(0, 10);
  },
};
