// The list of hard questions: filtered by what stands in the form, one page of rows at a time, each opened on demand.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PER_PAGE = 50;
  const MOST_CLOSED = 1500; // characters of a question whose row is closed, of which two lines are seen
  const BANDS = ["easy", "medium", "hard", "hardest"];
  const KINDS = {
    open: "want", no_teacher_solves_it: "want", regressed: "want", sourcing: "wait", queued: "wait", taught: "wait",
    retired: "plain", control: "plain", learned: "good", solved: "good",
  };
  const MEANINGS = new Map(data.states);
  const ORDERS = [
    ["unsolved", "most often unsolved", (a, b) => b.unsolved - a.unsolved],
    ["recent", "sampled last", (a, b) => lastOf(b) - lastOf(a)],
    ["taught", "most often taught", (a, b) => b.taught - a.taught],
    ["accuracy", "lowest accuracy", (a, b) => a.accuracy - b.accuracy],
    ["long", "longest question", (a, b) => textOf(b).length - textOf(a).length],
  ];
  const field = (name) => document.getElementById(name);
  const lastOf = (entry) => (entry.groups.length ? entry.groups[entry.groups.length - 1][0] : -1);
  const textOf = (entry) => data.questions[entry.question][1];
  const numbers = new Intl.NumberFormat("en");
  const wanted = { state: "", page: 0 };
  let shown = [];

  function make(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const name in properties || {}) {
      if (name === "class") made.className = properties[name];
      else made.setAttribute(name, properties[name]);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function written(text, css) {
    const box = make("div", { class: `written ${css || ""}` });
    if (field("raw").checked) box.append(Mathematics.visible(text));
    else Mathematics.fill(box, text);
    return box;
  }

  function answer(text) {
    const said = make("span");
    if (text === null) said.append("none");
    else if (field("raw").checked) said.append(Mathematics.visible(text));
    else Mathematics.fillAnswer(said, text);
    return said;
  }

  function stateMark(state) {
    return make("span", { class: `state ${KINDS[state] || "plain"}` }, state.replaceAll("_", " "));
  }

  // What is searched: the question with its id and gold, and what was answered.
  const haystacks = data.entries.map((entry) => {
    const [id, text, gold] = data.questions[entry.question];
    return [id, text, gold, ...entry.attempts.map((attempt) => attempt[4] || "")].join("\n").toLowerCase();
  });

  function isWanted(entry, index, without) {
    const [run, source, band] = ["run", "source", "band"].map((name) => field(name).value);
    if (without !== "state" && wanted.state && entry.state !== wanted.state) return false;
    if (run && String(entry.run) !== run) return false;
    if (source && String(data.questions[entry.question][3]) !== source) return false;
    if (band && entry.band !== band) return false;
    return words.every((word) => haystacks[index].includes(word));
  }

  let words = [];
  function refresh(page) {
    words = field("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const compare = ORDERS.find(([name]) => name === field("order").value)[2];
    shown = data.entries.filter((entry, index) => isWanted(entry, index)).sort(compare);
    drawLegend();
    show(page || 0);
    remember();
  }

  function drawLegend() {
    const counts = new Map();
    data.entries.forEach((entry, index) => {
      if (isWanted(entry, index, "state")) counts.set(entry.state, (counts.get(entry.state) || 0) + 1);
    });
    const there = new Set(data.entries.map((entry) => entry.state));
    const known = [...MEANINGS.keys(), ...[...there].filter((state) => !MEANINGS.has(state))];
    const focused = document.activeElement && document.activeElement.dataset.state;
    field("legend").replaceChildren(...known.filter((state) => there.has(state)).map((state) => {
      const button = make("button", { type: "button", "data-state": state, "aria-pressed": String(wanted.state === state) },
        make("b", {}, numbers.format(counts.get(state) || 0)), stateMark(state),
        make("span", { class: "means" }, MEANINGS.get(state) || ""));
      button.title = MEANINGS.get(state) || "";
      button.addEventListener("click", () => { wanted.state = wanted.state === state ? "" : state; refresh(); });
      return button;
    }));
    if (focused) field("legend").querySelector(`[data-state="${CSS.escape(focused)}"]`)?.focus();
  }

  function show(page) {
    const last = Math.max(0, Math.ceil(shown.length / PER_PAGE) - 1);
    wanted.page = Math.min(page, last);
    const first = wanted.page * PER_PAGE;
    const rows = shown.slice(first, first + PER_PAGE);
    field("count").textContent = shown.length === data.entries.length
      ? `${numbers.format(shown.length)} questions` : `${numbers.format(shown.length)} of ${numbers.format(data.entries.length)} questions`;
    field("list").replaceChildren(...rows.map(drawRow));
    const button = (label, to) => {
      const made = make("button", { type: "button" }, label);
      made.disabled = to < 0 || to > last;
      made.addEventListener("click", () => { show(to); remember(); field("count").scrollIntoView({ block: "start" }); });
      return made;
    };
    field("pages").replaceChildren(...(last ? [button("Previous", wanted.page - 1),
      make("span", {}, `Page ${wanted.page + 1} of ${last + 1}`), button("Next", wanted.page + 1)] : []));
  }

  function drawRow(entry) {
    const asked = make("span", { class: "asked" });
    const ask = (text) => {
      asked.replaceChildren();
      if (field("raw").checked) asked.append(Mathematics.visible(text));
      else Mathematics.fill(asked, text);
    };
    ask(textOf(entry).slice(0, MOST_CLOSED));
    const facts = `${entry.unsolved} of ${entry.sampled} unsolved${entry.taught ? `, taught ${entry.taught}×` : ""}`;
    const row = make("details", { class: "entry" }, make("summary", {}, stateMark(entry.state), asked,
      make("span", { class: "facts" }, facts, ...(data.runs.length > 1 ? [make("br"), data.runs[entry.run]] : []))));
    row.addEventListener("toggle", () => {
      if (!row.open || row.childElementCount > 1) return;
      if (textOf(entry).length > MOST_CLOSED) ask(textOf(entry));
      row.append(drawBody(entry));
    });
    return row;
  }

  function drawBody(entry) {
    const [id, , gold, source] = data.questions[entry.question];
    return make("div", { class: "body" },
      facts([
        ["gold answer", answer(gold)], ["state", `${entry.state.replaceAll("_", " ")}: ${MEANINGS.get(entry.state) || ""}`],
        ["last sampled", `${percent(entry.accuracy)} correct (${entry.band})`], ["run", data.runs[entry.run]],
        ["source", data.sources[source]], ["question", make("code", {}, id)],
      ]),
      ...section("Samplings", entry.groups.length > 1 ? [timeline(entry)] : [], [samplings(entry)]),
      ...section("Demonstrations", entry.offers.map(drawOffer)),
      ...section("Taught", entry.lessons.length ? [lessons(entry)] : []),
      ...section("Left the buffer untaught", entry.left.map(([iteration, reason]) =>
        make("p", { class: "told" }, `iteration ${iteration}: ${reason.replaceAll("_", " ")}`))),
      ...section("Rollouts", entry.attempts.map(drawAttempt)));
  }

  const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
  const section = (title, ...parts) => (parts.flat().length ? [make("h2", {}, title), ...parts.flat()] : []);
  const facts = (list) => make("dl", {}, ...list.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));

  function table(heads, rows) {
    const cell = (tag, value) => make(tag, typeof value === "number" ? { class: "number" } : tag === "th" ? { scope: "col" } : {}, String(value ?? "not measured"));
    return make("div", { class: "scroll" }, make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((head) => cell("th", head)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value) => cell("td", value)))))));
  }

  function samplings(entry) {
    const rows = entry.groups.map(([iteration, purpose, version, correct, rollouts, isHardest, statuses]) => [
      iteration, purpose, version, `${correct} of ${rollouts}`, statuses.map(([status, count]) => `${count} ${status.replaceAll("_", " ")}`).join(", "),
      isHardest ? "called hardest" : "",
    ]);
    const drawn = table(["iteration", "purpose", "policy version", "correct", "statuses", ""], rows);
    return rows.length <= 6 ? drawn : make("details", { class: "more" }, make("summary", {}, `All ${rows.length} samplings`), drawn);
  }

  function lessons(entry) {
    return table(["iteration", "policy version", "update", "tokens given", "NLL before", "NLL after"],
      entry.lessons.map(([iteration, version, before, after, kind, given]) =>
        [iteration, version, kind === "sft" ? "supervised" : "RL", given ?? "", before, after]));
  }

  function drawOffer([run, iteration, source, tokens, cost, refusal, text]) {
    const where = run.startsWith("import-") || run.startsWith("harvest-") ? run : `iteration ${iteration}`;
    const paid = cost ? `, $${cost.toFixed(4)}` : "";
    return make("div", {},
      make("p", { class: "told" }, make("b", {}, refusal === null ? "admitted" : "refused"),
        `${refusal === null ? "" : `: ${refusal}`} · from ${source}, ${where}, ${numbers.format(tokens)} tokens${paid}`),
      text ? written(text, refusal === null ? "good" : "") : null);
  }

  function drawAttempt([iteration, purpose, sample, status, found, decidedBy, reason, tokens, text]) {
    return make("div", {},
      make("p", { class: "told" }, make("b", {}, status.replaceAll("_", " ")), " · answer ", answer(found),
        ` · by ${decidedBy}${reason ? `: ${reason}` : ""} · iteration ${iteration}, ${purpose}, rollout ${sample}, ${numbers.format(tokens)} tokens`),
      written(text || "(blank)", status === "correct" ? "good" : "want"));
  }

  // Share of correct rollouts over the iterations; a triangle below is a supervised update on the question.
  function timeline(entry) {
    const SVG = "http://www.w3.org/2000/svg", width = 640, left = 40, right = 12, top = 8, height = 70, base = top + height;
    const first = entry.groups[0][0], last = Math.max(lastOf(entry), ...entry.lessons.map(([iteration]) => iteration));
    const x = (iteration) => left + (width - left - right) * (last > first ? (iteration - first) / (last - first) : 0.5);
    const y = (share) => base - height * share;
    const draw = (tag, attributes, text) => {
      const made = document.createElementNS(SVG, tag);
      for (const name in attributes) made.setAttribute(name, attributes[name]);
      if (text !== undefined) made.textContent = text;
      return made;
    };
    const told = `Share of correct rollouts from iteration ${first} to ${last}: ` +
      entry.groups.slice(0, 30).map((g) => `${g[0]}: ${g[3]} of ${g[4]}`).join(", ") +
      (entry.lessons.length ? `; taught at ${entry.lessons.map(([iteration]) => iteration).join(", ")}` : "");
    const picture = draw("svg", { viewBox: `0 0 ${width} ${base + 34}`, role: "img", "aria-label": told });
    for (const share of [0, 0.5, 1]) {
      picture.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: y(share), y2: y(share) }),
        draw("text", { x: left - 8, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
    }
    const shares = entry.groups.map((g) => [x(g[0]), y(g[3] / g[4]), g[5]]);
    picture.append(draw("polyline", { class: "curve", points: shares.map(([px, py]) => `${px},${py}`).join(" ") }));
    for (const [px, py, isHardest] of shares) picture.append(draw("circle", { class: isHardest ? "hardest" : "sampled", cx: px, cy: py, r: 4 }));
    for (const [iteration] of entry.lessons) {
      const px = x(iteration);
      picture.append(draw("path", { class: "lesson", d: `M${px} ${base + 6}l6 10h-12z` }));
    }
    picture.append(draw("text", { x: left, y: base + 30 }, `iteration ${first}`),
      draw("text", { x: width - right, y: base + 30, "text-anchor": "end" }, String(last)));
    return picture;
  }

  function remember() {
    const kept = new URLSearchParams();
    for (const name of ["search", "run", "source", "band", "order"]) {
      if (field(name).value && !(name === "order" && field(name).value === ORDERS[0][0])) kept.set(name, field(name).value);
    }
    if (wanted.state) kept.set("state", wanted.state);
    if (wanted.page) kept.set("page", wanted.page);
    history.replaceState(null, "", `#${kept}`);
  }

  function choices(name, all, list) {
    field(name).replaceChildren(...(all ? [make("option", { value: "" }, all)] : []), ...list.map(([value, label]) => make("option", { value }, label)));
  }

  function begin() {
    const numbered = (list) => list.map((label, number) => [String(number), label]).sort((a, b) => (a[1] < b[1] ? -1 : 1));
    choices("run", "all runs", numbered(data.runs));
    choices("source", "all sources", numbered(data.sources));
    choices("band", "all bands", BANDS.map((band) => [band, band]));
    choices("order", "", ORDERS.map(([name, label]) => [name, label]));
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const name of ["search", "run", "source", "band", "order"]) if (kept.has(name)) field(name).value = kept.get(name);
    if (!field("order").value) field("order").value = ORDERS[0][0];
    wanted.state = MEANINGS.has(kept.get("state")) ? kept.get("state") : "";
    let waiting = 0;
    field("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => refresh(), 120); });
    for (const name of ["run", "source", "band", "order", "raw"]) field(name).addEventListener("change", () => refresh());
    field("filters").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
    document.addEventListener("keydown", keys);
    refresh(Number(kept.get("page")) || 0);
  }

  function keys(event) {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !isTyping) { event.preventDefault(); field("search").focus(); return; }
    if (event.key === "Escape" && event.target === field("search") && !field("search").value) { field("search").blur(); return; }
    if ((event.key !== "ArrowDown" && event.key !== "ArrowUp") || event.target.tagName === "SELECT") return;
    const rows = [...field("list").querySelectorAll(":scope > details > summary")];
    const at = rows.indexOf(document.activeElement);
    if (at < 0 && event.target !== field("search") && event.target !== document.body) return;
    const to = at < 0 ? 0 : at + (event.key === "ArrowDown" ? 1 : -1);
    if (rows[to]) { event.preventDefault(); rows[to].focus(); }
  }

  begin();
})();
