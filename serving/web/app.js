const RECIPES = [
  ["for_you", "For you"],
  ["discover", "New to them"],
  ["buy_again", "Buy again"],
  ["popular", "Popular with everybody"],
];
const $ = (id) => document.getElementById(id);
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const money = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `The service answered ${response.status}.`);
  return answer;
}

function tell(message) {
  $("notice").textContent = message ?? "";
  $("notice").hidden = !message;
}

function row(item, detail) {
  return element("li", "", element("span", "", item.title ?? item.item_id), element("small", "", detail));
}

function bar(share, className = "bar", title = "") {
  const made = element("div", className);
  made.title = title;
  made.style.width = `${Math.max(1, Math.round(100 * Math.min(1, share)))}%`;
  return made;
}

function showProfile(profile) {
  $("who").textContent = `Customer ${profile.user_id}`;
  const facts = [
    ["First seen", profile.first_seen ? date.format(new Date(profile.first_seen)) : "never"],
    ["Last seen", profile.last_seen ? date.format(new Date(profile.last_seen)) : "never"],
    ["Visits", money.format(profile.visits)],
    ["Purchases", money.format(profile.purchases)],
    ["Spent", money.format(profile.spend)],
  ];
  $("facts").replaceChildren(
    ...facts.map(([term, value]) => element("div", "", element("dt", "", term), element("dd", "", value))),
  );
  $("bought").replaceChildren(
    ...profile.bought_most.slice(0, 10).map((item) => row(item, `${item.count} times, last ${date.format(new Date(item.last_at))}`)),
  );
  $("recent").replaceChildren(
    ...profile.recent.slice(0, 8).map((item) => row(item, `${item.event_type.replaceAll("_", " ")}, ${date.format(new Date(item.timestamp))}`)),
  );
  const strength = (like) => Math.log1p(like.affinity);
  const strongest = Math.max(...profile.affinities.map(strength), 1e-9);
  $("likes").replaceChildren(
    ...profile.affinities.map((like) =>
      element(
        "div",
        "like",
        element("span", "", like.value, " ", element("small", "hint", like.dimension.replaceAll("_", " "))),
        bar(strength(like) / strongest, "bar", `${like.affinity.toFixed(1)} times as often as usual`),
      ),
    ),
  );
}

function parts(contributions) {
  const entries = Object.entries(contributions).filter(([name]) => name !== "base");
  const largest = Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-9);
  return element(
    "div",
    "parts",
    ...entries
      .sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
      .slice(0, 4)
      .map(([name, value]) => {
        const made = element("div", "", name.replaceAll("_", " ").replaceAll("-", " "), bar(Math.abs(value) / largest, value < 0 ? "bar against" : "bar"));
        made.title = `${name}: ${value.toFixed(3)}`;
        return made;
      }),
  );
}

// Sends what the customer does with an item; the list that comes next knows of it.
function does(userId, type, item) {
  const made = element("button", "does", type === "click" ? "Click" : "Buy");
  made.type = "button";
  made.title = `Send a ${type} of this item as ${userId}`;
  made.onclick = async () => {
    try {
      const recipe = $("recipes").querySelector("[aria-selected=true]").value;
      await ask("v1/events", { user_id: userId, event_type: type, item_id: item.item_id, value: type === "purchase" ? item.price : null });
      await show(userId, recipe);
    } catch (error) {
      tell(error.message);
    }
  };
  return made;
}

async function showRanking(userId, recipe) {
  const mine = latest;
  const isCurrent = () => mine === latest && $("recipes").querySelector("[aria-selected=true]")?.value === recipe;
  for (const tab of $("recipes").children) tab.setAttribute("aria-selected", String(tab.value === recipe));
  const body = { user_id: userId, n: 12, recipe, explain: true };
  const answer = await ask("v1/recommend", body);
  if (!isCurrent()) return;
  $("ranking").replaceChildren(
    ...answer.items.map((item, place) =>
      element(
        "li",
        "",
        element("span", "place", String(place + 1)),
        element(
          "div",
          "",
          item.title ?? item.item_id,
          element("span", "why", item.reasons.map((reason) => reason.text).join(" ")),
          ...["click", "purchase"].map((type) => does(userId, type, item)),
        ),
        parts(item.contributions),
      ),
    ),
  );
  $("shortfall").textContent = answer.shortfall_reason ?? "";
  $("shortfall").hidden = !answer.shortfall_reason;
  $("request").textContent = `curl -s ${location.origin}/v1/recommend -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
  $("versions").textContent = `Ranking ${answer.ranking_id}, model ${answer.model_version}`;
}

let latest = 0; // an answer that a later choice has overtaken is not shown

async function show(userId, recipe = RECIPES[0][0]) {
  const mine = ++latest;
  if (document.activeElement !== $("customer")) $("customer").value = userId;
  try {
    tell();
    const profile = await ask(`v1/profiles/${encodeURIComponent(userId)}`);
    if (mine !== latest) return;
    showProfile(profile);
    $("recipes").replaceChildren(
      ...RECIPES.map(([name, title]) => {
        const tab = element("button", "", title);
        Object.assign(tab, { type: "button", value: name, onclick: () => showRanking(userId, name).catch((error) => tell(error.message)) });
        tab.setAttribute("role", "tab");
        return tab;
      }),
    );
    await showRanking(userId, recipe);
    $("person").hidden = false;
  } catch (error) {
    if (mine !== latest) return;
    $("person").hidden = true;
    tell(error.message);
  }
}

const chosen = () => decodeURIComponent(location.hash.slice(1));

async function start() {
  $("pick").onsubmit = (event) => {
    event.preventDefault();
    location.hash = encodeURIComponent($("customer").value.trim());
  };
  window.onhashchange = () => show(chosen());
  if (chosen()) show(chosen());
  const { profiles } = await ask("v1/profiles?limit=100");
  if (!profiles.length) throw new Error("The service knows no customers yet. Import events, build a snapshot, fit and promote.");
  $("customers").replaceChildren(...profiles.map((profile) => new Option(`${profile.purchases} purchases`, profile.user_id)));
  $("surprise").onclick = () => {
    location.hash = encodeURIComponent(profiles[Math.floor(Math.random() * profiles.length)].user_id);
  };
  if (!chosen()) await show(profiles[0].user_id);
}

start().catch((error) => tell(error.message));
